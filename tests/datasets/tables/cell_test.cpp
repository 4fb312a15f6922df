#include "datasets/tables/cell.h"

#include "tests/catch.h"

namespace consilium::datasets::tables {
namespace {

TEST_CASE("blanks, tabs and line ends around a cell are no part of it") {
  CHECK(Trimmed("\t 43\t") == "43");
  CHECK(Trimmed(" two words \r") == "two words");
  CHECK(Trimmed(" \t ").empty());
  CHECK(Trimmed("").empty());
}

TEST_CASE("numbers are read in the notation of C") {
  CHECK(ParseNumber("43").value == 43.0);
  CHECK(ParseNumber("-1.5").value == -1.5);
  CHECK(ParseNumber("+2").value == 2.0);
  CHECK(ParseNumber(".5").value == 0.5);
  CHECK(ParseNumber("3e-4").value == 3e-4);
  CHECK(ParseNumber("1.0E+2").value == 100.0);
}

TEST_CASE("what stands for a missing value is neither a number nor a fault") {
  for (const char* cell : {"", "NA", "na", "?", "NaN", "n/a", "NULL", "."}) {
    CAPTURE(cell);
    const Number number = ParseNumber(cell);
    CHECK_FALSE(number.value);
    CHECK(number.fault.empty());
  }
}

TEST_CASE("a decimal comma is told apart from what is no number at all") {
  for (const char* cell : {"1,5", "-1,5", "1.234,5", "1,234.5", "1,5e3"}) {
    CAPTURE(cell);
    CHECK_FALSE(ParseNumber(cell).value);
    CHECK_THAT(std::string(ParseNumber(cell).fault), ContainsText("write decimals with a point"));
  }
  for (const char* cell : {"120 mmHg", "<0.1", "yes", "1.2.3", "+-1", "+", "inf", "-inf", "0x10",
                           "1e999", ",", "high, 5"}) {
    CAPTURE(cell);
    CHECK_FALSE(ParseNumber(cell).value);
    CHECK(ParseNumber(cell).fault == "is no number");
  }
}

}  // namespace
}  // namespace consilium::datasets::tables
