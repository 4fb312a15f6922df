#pragma once

namespace consilium {

// From here on this process leaves no core file and cannot be looked into by other processes of its
// user (RLIMIT_CORE 0, PR_SET_DUMPABLE 0): its memory holds keys. The first line of every main.
// Ends the process when the system refuses.
void ForbidCoreDumps();

}  // namespace consilium
