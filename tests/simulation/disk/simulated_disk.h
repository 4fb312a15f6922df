#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace consilium::simulation {

// kKill: the process is gone (kill -9); all that it wrote is there. kPowerLoss: the machine is
// gone; of what no fsync covered, each piece may be there, lost or torn.
enum class CrashKind { kKill, kPowerLoss };

// Chances, each from 0 to 1, that a call goes wrong. A short call is no error: it did a part.
struct DiskFaults {
  double read_error = 0;   // EIO
  double write_error = 0;  // EIO, from writes, resizes and every change of a folder
  double sync_error =
      0;  // EIO; what it was to save may be lost, and a later fsync does not save it
  double short_read = 0;
  double short_write = 0;
};

// Syncs that report success and do nothing: the faults that a simulation must be able to find.
enum class IgnoredSyncs { kNone, kOfFiles, kOfFolders, kAll };

struct DiskCounters {
  std::uint64_t operations = 0;  // as CrashAtOperation counts them
  std::uint64_t syncs = 0;       // of files and folders
  std::uint64_t bytes_written = 0;
};

// The disks of any number of machines, each below /sim/MACHINE. All that is random comes from the
// seed. Where real file systems differ it is as unkind as POSIX allows, except that
//  - a sector of 512 bytes is written whole or not at all, and bytes beside a write stay as they
//    are (what SQLite calls powersafe overwrite);
//  - a rename is there whole or not at all, also between two folders;
//  - a sync of a folder saves that folder's own entry too (as ext4, xfs and btrfs do);
//  - no bytes of other files show up: what was lost reads as zeros, or the file is short.
//
// A machine that crashed fails every call (EIO) until Restart; what was open before fails for good,
// and its locks are gone. A machine comes into being when it is first named. Not thread-safe.
class SimulatedDisk {
 public:
  // `clock` gives the files their times; it must live longer. Null: all are of 1970.
  explicit SimulatedDisk(std::uint64_t seed, const Clock* clock = nullptr);
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;
  ~SimulatedDisk();

  void Crash(std::string_view machine, CrashKind kind);
  // The machine dies in its n-th operation from now (1: the next), which happens in part, wholly or
  // not at all, and returns an error. Operations are the calls that change or sync something.
  void CrashAtOperation(std::string_view machine, std::uint64_t n, CrashKind kind);
  void CancelCrash(std::string_view machine);
  bool crashed(std::string_view machine) const;
  void Restart(std::string_view machine);

  // All files of the machine together; beyond it, ENOSPC. Null: no limit.
  void SetQuota(std::string_view machine, std::optional<std::uint64_t> bytes);
  std::uint64_t UsedBytes(std::string_view machine) const;
  // Returns those that it had.
  DiskFaults SetFaults(std::string_view machine, const DiskFaults& faults);
  void IgnoreSyncs(std::string_view machine, IgnoredSyncs which);
  void IgnoreSync(std::string_view machine, std::uint64_t n);  // only the n-th from now

  DiskCounters counters(std::string_view machine) const;
  DiskCounters counters() const;  // of all machines
  Time Now() const;
  SeededRandom& random() { return random_; }

  // The system calls, with Linux's results but for the error, which is returned as -errno.
  // Descriptors are unique in the process.
  int Open(std::string_view path, int flags, mode_t mode);
  int OpenNameless();  // a temporary file that belongs to no machine
  void Close(int descriptor);
  ssize_t ReadAt(int descriptor, void* out, std::size_t bytes, std::uint64_t offset);
  ssize_t WriteAt(int descriptor, const void* from, std::size_t bytes, std::uint64_t offset);
  int Resize(int descriptor, std::uint64_t bytes);
  int Sync(int descriptor);
  int SyncAll(int descriptor);  // syncfs(2): the machine's whole disk
  int SetMode(int descriptor, mode_t mode);
  int Lock(int descriptor);  // flock(2), exclusive, without waiting
  int Look(int descriptor, struct stat* about) const;
  int Look(std::string_view path, struct stat* about);
  int Rename(std::string_view from, std::string_view to);
  int Remove(std::string_view path);
  int MakeFolder(std::string_view path, mode_t mode);
  int List(std::string_view path, std::vector<std::string>* names);
  int SyncFolderOf(std::string_view path);  // opens, syncs and closes the folder it lies in
  std::string UniqueName();

  // The locks that SQLite's connections hold on one file: descriptors, -1 for none.
  struct DatabaseLocks {
    int shared = 0;  // how many
    int reserved = -1;
    int pending = -1;
    int exclusive = -1;
  };
  // Null when the descriptor is dead.
  DatabaseLocks* LocksOf(int descriptor);

 private:
  struct Node;
  struct Machine;
  struct Place;
  struct OpenFile;
  using NodePointer = std::shared_ptr<Node>;

  Machine& Named(std::string_view machine) const;
  Place Find(std::string_view path);
  int FindLiving(std::string_view path, Place* place);
  OpenFile* Living(int descriptor, int* error) const;
  int NewDescriptor(OpenFile file);
  void Crash(Machine& machine, CrashKind kind);
  static void LoseFolderChanges(Machine& machine, SeededRandom& random);
  // Counts the operation, lets it fail by chance, and lets the machine die in it when planned.
  template <class Operation>
  int Change(Machine& machine, const Operation& operation);
  int Make(const Place& place, bool folder, mode_t mode, NodePointer* made);

  SeededRandom random_;
  const Clock* clock_;
  mutable std::map<std::string, std::unique_ptr<Machine>, std::less<>> machines_;
  std::unordered_map<int, std::unique_ptr<OpenFile>> open_;
  std::uint64_t next_name_ = 0;
};

// Makes `disk` the one that file.h and SQLite see on this thread, for as long as it lives; then the
// one before. Who links this must name simulated_disk before any library of ours (CMake does so by
// itself): see simulated_file_calls.cpp.
class UseDisk {
 public:
  explicit UseDisk(SimulatedDisk& disk);
  UseDisk(const UseDisk&) = delete;
  UseDisk& operator=(const UseDisk&) = delete;
  ~UseDisk();

  static SimulatedDisk* current();  // null: none

 private:
  SimulatedDisk* before_;
};

}  // namespace consilium::simulation
