#pragma once

#include <string_view>

#include "common/wire/protocol.h"

namespace consilium::simulation {

std::string_view NameOf(wire::RunEventKind kind);  // "round opened"

}  // namespace consilium::simulation
