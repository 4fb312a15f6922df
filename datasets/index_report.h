#pragma once

#include <string>

#include "datasets/catalog.h"

namespace consilium::datasets {

// An index report for people: counts, a table of the reasons, and with `all` each refused file.
std::string ToText(const IndexReport& report, bool all);

// The same for programs, each refused file included, with the words of Name(Refusal).
std::string ToJson(const IndexReport& report);

}  // namespace consilium::datasets
