#pragma once

// Texts of plans whose examples are rows of the table "heart".

#include <string>
#include <string_view>

#include "common/base/text.h"

namespace consilium::plan {

inline constexpr char kAgeColumn[] = R"([[table.columns]]
name = "age"
minimum = 0
maximum = 120
)";
inline constexpr char kSexColumn[] = R"([[table.columns]]
name = "sex"
kind = "category"
values = ["male", "female"]
)";

// `table`: further keys of [table], and its columns.
inline std::string TablePlan(std::string_view table,
                             std::string_view target = "name = \"disease\"\n",
                             std::string_view architecture = "logistic") {
  return StrCat("[plan]\nname = \"heart\"\n[data]\nsource = \"table\"\n[model]\narchitecture = \"",
                architecture, "\"\n[target]\n", target, "[table]\nname = \"heart\"\n", table);
}

}  // namespace consilium::plan
