#pragma once

namespace consilium::simulation {

// From now on every database of this process that is opened without naming a VFS lies on the
// simulated disk of its thread (UseDisk): paths, locks, syncs, errors and what a crash leaves.
// Syncs are as those of SQLite's own VFS for unix: a new journal's first sync also syncs its
// folder, and so does a removal when SQLite asks for it. SQLite's own random numbers begin anew,
// from the seed of the disk in use, so that a run is the same again: call it at the beginning of
// each.
//
// Those numbers are one stream for the whole process: for exact repetition, one simulation at a
// time in a process.
void RegisterSimulatedVfs();

}  // namespace consilium::simulation
