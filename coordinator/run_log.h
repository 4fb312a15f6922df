#pragma once

#include "common/wire/protocol.h"

namespace consilium::coordinator {

// One log line for an event of a run.
void LogEvent(const RunId& run, const wire::RunEvent& event);

}  // namespace consilium::coordinator
