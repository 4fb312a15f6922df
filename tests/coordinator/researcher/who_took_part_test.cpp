#include "coordinator/researcher/who_took_part.h"

#include "tests/catch.h"

namespace consilium::researcher {
namespace {

constexpr std::string_view kRun = R"({
  "run": "chest-0001",
  "participants": [
    {"site": "east", "invite": "accepted", "reason": "", "train_patients": 214,
     "train_examples": 331, "refused_files": 4,
     "refusals": {"not DICOM": 1, "burned-in annotation": 3}},
    {"site": "north", "invite": "declined", "reason": "12 patients, the plan asks for 50",
     "train_patients": 12, "train_examples": 20, "refused_files": 0, "refusals": {}}],
  "rounds": [
    {"round": 0, "sites": [{"site": "east", "asked": true, "trained": null, "uploaded": true,
                            "counted": true, "evaluated": false}]},
    {"round": 1, "sites": [{"site": "east", "asked": true,
                            "trained": {"patients": 214, "examples": 331}, "uploaded": true,
                            "counted": true, "lost": null, "evaluated": true}]},
    {"round": 2, "sites": [{"site": "east", "asked": true,
                            "trained": {"patients": 214, "examples": 331}, "uploaded": false,
                            "counted": false, "lost": "its connection was lost",
                            "evaluated": false}]}]})";

TEST_CASE("the table of who took part tells each site's answer, its rounds and what it refused") {
  const std::string table = WhoTookPart(kRun);
  const std::size_t east = table.find("east"), north = table.find("north");
  REQUIRE(east != std::string::npos);
  REQUIRE(north != std::string::npos);
  std::vector<std::string> cells;
  std::string row = table.substr(east, table.find('\n', east) - east);
  for (std::size_t at = 0; at < row.size();) {
    const std::size_t end = std::min(row.find(' ', at), row.size());
    if (end > at) cells.push_back(row.substr(at, end - at));
    at = end + 1;
  }
  // site, answer, patients, images, asked, trained, uploaded, counted, evaluated
  const std::vector<std::string> expected = {"east", "accepted", "214", "331", "2",
                                             "2",    "1",        "1",   "1"};
  REQUIRE(cells.size() > expected.size());
  cells.resize(expected.size());
  CHECK(cells == expected);
  CHECK_THAT(table, ContainsText("4: burned-in annotation 3, not DICOM 1"));
  CHECK_THAT(table, ContainsText("declined: 12 patients, the plan asks for 50"));
}

TEST_CASE("what is no run's document gives no table") {
  for (const char* text : {"", "[]", "{}", "nonsense", R"({"participants": 3})"}) {
    CHECK(WhoTookPart(text).empty());
  }
}

}  // namespace
}  // namespace consilium::researcher
