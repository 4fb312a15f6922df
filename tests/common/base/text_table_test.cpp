#include "common/base/text_table.h"

#include "tests/catch.h"

namespace consilium {
namespace {

TEST_CASE("columns are padded to their widest cell and numbers stand right") {
  TextTable table({"site", "AUROC", "n"});
  table.AddRow({"north", "0.912", "1200"});
  table.AddRow(
      {"s\xc3\xbc"
       "d",
       "-", "<10"});
  CHECK(table.ToString() ==
        "site   AUROC     n\n"
        "-----  -----  ----\n"
        "north  0.912  1200\n"
        "s\xc3\xbc"
        "d        -   <10\n");
}

TEST_CASE("a column with a word in it stands left, and no line ends in spaces") {
  TextTable table({"round", "reason"});
  table.AddRow({"1", "counted"});
  table.AddRow({"none", "3"});
  CHECK(table.ToString() ==
        "round  reason\n"
        "-----  -------\n"
        "1      counted\n"
        "none   3\n");
}

TEST_CASE("a table without rows is its header") {
  CHECK(TextTable({"a", "bc"}).ToString() == "a  bc\n-  --\n");
}

}  // namespace
}  // namespace consilium
