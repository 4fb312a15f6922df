#include "datasets/labels.h"

#include "common/base/text.h"
#include "datasets/csv.h"
#include "datasets/patient_split.h"
#include "tests/catch.h"

namespace consilium::datasets {
namespace {

std::string ErrorOf(std::string_view csv) {
  const auto labels = ParseLabels(csv);
  return labels.ok() ? "" : std::string(ToStd(labels.status().message()));
}

}  // namespace

TEST_CASE("Labels are read with quotes, CRLF, a byte order mark and empty cells") {
  const auto labels = ParseLabels(
      "\xef\xbb\xbfopacity,patient_id,effusion\r\n1,\"Doe, \"\"J\"\"\",\r\n\r\n 0 , P2 ,1\r\n");
  REQUIRE(labels.ok());
  CHECK(labels->key == LabelKey::kPatient);
  CHECK(labels->targets == std::vector<std::string>{"opacity", "effusion"});
  CHECK(labels->values.at("Doe, \"J\"") == Labels::Values{{"opacity", "1"}});
  CHECK(labels->values.at("P2") == Labels::Values{{"opacity", "0"}, {"effusion", "1"}});
  CHECK(labels->conflicting.empty());
}

TEST_CASE("Faults of labels are told with their lines and values") {
  CHECK(ErrorOf("").find("empty") != std::string::npos);
  CHECK(ErrorOf("name,opacity\nP1,1\n").find("line 1: no key column") != std::string::npos);
  CHECK(ErrorOf("patient_id\nP1\n").find("no target") != std::string::npos);
  CHECK(ErrorOf("patient_id,a,a\n").find("columns 2 and 3 have the same name") !=
        std::string::npos);
  CHECK(ErrorOf("patient_id,study_instance_uid,a\n").find("one key column") != std::string::npos);
  CHECK(ErrorOf("patient_id,a\nP1,1,2\n").find("line 2: 3 cells") != std::string::npos);
  CHECK(ErrorOf("patient_id,a\nP1,\"1\n").find("not closed") != std::string::npos);
  const std::string two = ErrorOf("patient_id,a\nP1," + std::string(65, 'x') + "\nP2,1\n,0\n");
  CHECK(two.find("line 2: \"a\" is a text of 65 characters") != std::string::npos);
  CHECK(two.find("line 4: the patient_id is empty") != std::string::npos);
}

TEST_CASE("A key with two different labels is set apart; the same label twice is not") {
  const auto labels = ParseLabels("patient_id,a\nP1,1\nP1,0\nP2,1\nP2,1\n");
  REQUIRE(labels.ok());
  CHECK(labels->conflicting == std::set<std::string>{"P1"});
}

TEST_CASE("What CsvCell writes ParseCsv reads back") {
  for (const std::string value : {"plain", "a,b", "quote \" here", "two\nlines", " blanks "}) {
    const auto table = ParseCsv("x,y\n" + CsvCell(value) + ",1\n");
    REQUIRE(table.ok());
    CHECK(table->rows.at(0).cells.at(0) == value);
  }
}

TEST_CASE("A patient's split never changes") {
  // These are what the first release computed: a change would move patients from training to test.
  std::string splits;
  for (int i = 0; i < 16; ++i) {
    const Split split = SplitOf("P" + std::to_string(i), 0.15, 0.25);
    splits += split == Split::kTrain ? 'a' : split == Split::kValidation ? 'v' : 'e';
  }
  CHECK(splits == "avaveaeevaaaaave");
}

TEST_CASE("Splits have about the wanted shares") {
  int test = 0, validation = 0;
  for (int i = 0; i < 10000; ++i) {
    const Split split = SplitOf("patient-" + std::to_string(i), 0.15, 0.25);
    test += split == Split::kTest;
    validation += split == Split::kValidation;
  }
  CHECK(std::abs(test - 2500) < 200);
  CHECK(std::abs(validation - 1500) < 170);
}

TEST_CASE(
    "A larger test fraction keeps the patients of the smaller one and leaves validation alone") {
  for (int i = 0; i < 2000; ++i) {
    const std::string patient = "p" + std::to_string(i);
    const Split small = SplitOf(patient, 0.15, 0.2), large = SplitOf(patient, 0.15, 0.3);
    if (small == Split::kTest) CHECK(large == Split::kTest);
    if (small == Split::kValidation) CHECK(large == Split::kValidation);
  }
}

}  // namespace consilium::datasets
