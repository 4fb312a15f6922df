// docs/plans.md against what plans may say.

#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "tests/catch.h"

namespace consilium::plan {
namespace {

using Keys = std::map<std::string, std::set<std::string>>;  // by the table's heading

// Of each "## [table]" the words in backticks that begin a row.
Keys DocumentedKeys() {
  const char* root = std::getenv("CONSILIUM_SOURCE");
  const auto text = ReadTextFile(fs::path(root == nullptr ? "." : root) / "docs/plans.md");
  INFO("set CONSILIUM_SOURCE to the root of the sources: " << text.status().ToString());
  REQUIRE(text.ok());
  Keys keys;
  std::string table;
  std::istringstream lines(*text);
  const std::regex quoted("`([a-z0-9_]+)`");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) {
      table = line.substr(3);
      keys[table];
    }
    if (!line.starts_with("| `")) continue;
    const std::string cell = line.substr(0, line.find('|', 1));
    for (std::sregex_iterator word(cell.begin(), cell.end(), quoted), end; word != end; ++word) {
      keys[table].insert((*word)[1]);
    }
  }
  return keys;
}

// The words that the parser offers instead of one that is near none of them.
std::vector<std::string> AllowedBeside(const std::string& plan) {
  const std::string message(ToStd(ParsePlan(plan).status().message()));
  const std::string_view sign = " is unknown: allowed are ";
  const std::size_t at = message.find(sign);
  INFO(message);
  REQUIRE(at != std::string::npos);
  const std::size_t first = at + sign.size();
  std::istringstream list(message.substr(first, message.find('\n', first) - first));
  std::vector<std::string> words;
  for (std::string word; std::getline(list >> std::ws, word, ',');) words.push_back(word);
  return words;
}

// What the parser says is allowed in a table, asked with a key that is near none.
std::set<std::string> AllowedKeys(const std::string& table) {
  std::string plan;
  if (table == "[[table.columns]]") plan = "[data]\nsource = \"table\"\n[table]\n";
  if (table == "[audio]") plan = "[data]\nsource = \"audio\"\n";
  StrAppend(&plan, table, "\nqqqqqqqqqqqqqqqq = 1\n");
  std::set<std::string> keys;
  for (const std::string& key : AllowedBeside(plan)) {
    INFO(table << " allows " << key << " twice");
    CHECK(keys.insert(key).second);
  }
  return keys;
}

TEST_CASE("docs/plans.md has every table and key of a plan, and no other") {
  std::set<std::string> tables = {"[[table.columns]]"};
  for (const std::string& table : AllowedBeside("[qqqqqqqqqqqqqqqq]\n")) {
    tables.insert(StrCat("[", table, "]"));
  }
  std::set<std::string> documented;
  for (const auto& [table, keys] : DocumentedKeys()) {
    INFO(table);
    CHECK(keys == AllowedKeys(table));
    documented.insert(table);
  }
  CHECK(documented == tables);
}

}  // namespace
}  // namespace consilium::plan
