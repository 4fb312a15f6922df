#pragma once

namespace consilium {

// For programs that take and give back the same hundreds of megabytes again and again: malloc keeps
// freed memory instead of handing it to the system, whose page faults at the next use cost up to a
// third of the work. The first thing in main, before any thread. Does nothing where the C library
// has no such settings.
void KeepFreedMemory();

// Hands to the system what was freed, also between what is still in use. Takes milliseconds: for
// moments when much work has ended. Thread-safe.
void ReturnFreedMemory();

}  // namespace consilium
