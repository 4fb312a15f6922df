#pragma once

// What a run's sites did, as a table for people: who was invited and answered what, in how many
// rounds each trained, uploaded, was counted and evaluated, and on how much.

#include <string>
#include <string_view>

namespace consilium::researcher {

// `run_json`: Ledger::RunJson. Empty when nobody was invited, or it is no such document.
std::string WhoTookPart(std::string_view run_json);

}  // namespace consilium::researcher
