#pragma once

#include <string_view>

#include "common/wire/protocol.h"

namespace consilium::wire {

// "round opened": the name of the event in JSON and in traces. Empty for a number that this version
// does not know.
std::string_view Name(RunEventKind kind);

}  // namespace consilium::wire
