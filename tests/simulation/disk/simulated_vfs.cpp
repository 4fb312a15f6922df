#include "tests/simulation/disk/simulated_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "common/base/status.h"
#include "tests/simulation/disk/simulated_disk.h"

namespace consilium::simulation {
namespace {

constexpr int kLongestPath = 512;

// The last call's errno, for sqlite3_system_errno.
thread_local int last_error = 0;

// sqlite3_file as SQLite allocates it. Its methods are null until the file is open.
struct DatabaseFile {
  sqlite3_file base;
  int descriptor;
  int lock;          // SQLITE_LOCK_...
  bool sync_folder;  // at the next sync: a new journal
  bool remove_at_close;
  char path[kLongestPath + 1];
};

DatabaseFile& Of(sqlite3_file* file) { return *reinterpret_cast<DatabaseFile*>(file); }

// The result of a call on the disk, or -ENOENT when the thread has none.
template <class Call>
auto OnDisk(const Call& call) -> decltype(call(*UseDisk::current())) {
  SimulatedDisk* disk = UseDisk::current();
  const auto result = disk == nullptr ? -ENOENT : call(*disk);
  if (result < 0) last_error = static_cast<int>(-result);
  return result;
}

// ---- Files -------------------------------------------------------------------------------------

int Unlock(sqlite3_file* file, int level);

int Close(sqlite3_file* file) {
  DatabaseFile& f = Of(file);
  if (SimulatedDisk* disk = UseDisk::current(); disk != nullptr) {
    Unlock(file, SQLITE_LOCK_NONE);
    disk->Close(f.descriptor);
    if (f.remove_at_close && f.path[0] != '\0') disk->Remove(f.path);
  }
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 offset) {
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t n = OnDisk([&](auto& disk) {
      return disk.ReadAt(Of(file).descriptor, to, static_cast<std::size_t>(bytes),
                         static_cast<std::uint64_t>(offset));
    });
    if (n < 0) return SQLITE_IOERR_READ;
    if (n == 0) break;
    to += n;
    offset += n;
    bytes -= static_cast<int>(n);
  }
  if (bytes == 0) return SQLITE_OK;
  std::memset(to, 0, static_cast<std::size_t>(bytes));  // as SQLite asks of every VFS
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t n = OnDisk([&](auto& disk) {
      return disk.WriteAt(Of(file).descriptor, at, static_cast<std::size_t>(bytes),
                          static_cast<std::uint64_t>(offset));
    });
    if (n < 0) return n == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    at += n;
    offset += n;
    bytes -= static_cast<int>(n);
  }
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const int result = OnDisk([&](auto& disk) {
    return disk.Resize(Of(file).descriptor, static_cast<std::uint64_t>(size));
  });
  return result < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

int Sync(sqlite3_file* file, int) {
  DatabaseFile& f = Of(file);
  if (OnDisk([&](auto& disk) { return disk.Sync(f.descriptor); }) < 0) return SQLITE_IOERR_FSYNC;
  if (!f.sync_folder) return SQLITE_OK;
  f.sync_folder = false;
  const int result = OnDisk([&](auto& disk) { return disk.SyncFolderOf(f.path); });
  return result < 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  struct stat about;
  if (OnDisk([&](auto& disk) { return disk.Look(Of(file).descriptor, &about); }) < 0) {
    return SQLITE_IOERR_FSTAT;
  }
  *size = about.st_size;
  return SQLITE_OK;
}

// ---- Locks: the states of https://www.sqlite.org/lockingv3.html --------------------------------

SimulatedDisk::DatabaseLocks* LocksOf(const DatabaseFile& file) {
  SimulatedDisk* disk = UseDisk::current();
  return disk == nullptr ? nullptr : disk->LocksOf(file.descriptor);
}

bool FreeFor(int holder, int descriptor) { return holder == -1 || holder == descriptor; }

int TakeShared(DatabaseFile& file, SimulatedDisk::DatabaseLocks& locks) {
  if (!FreeFor(locks.pending, file.descriptor) || !FreeFor(locks.exclusive, file.descriptor)) {
    return SQLITE_BUSY;
  }
  ++locks.shared;
  file.lock = SQLITE_LOCK_SHARED;
  return SQLITE_OK;
}

int Lock(sqlite3_file* file, int level) {
  DatabaseFile& f = Of(file);
  if (f.lock >= level) return SQLITE_OK;
  SimulatedDisk::DatabaseLocks* locks = LocksOf(f);
  if (locks == nullptr) return SQLITE_IOERR_LOCK;
  if (level == SQLITE_LOCK_SHARED) return TakeShared(f, *locks);
  if (!FreeFor(locks->reserved, f.descriptor)) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_RESERVED) {
    if (!FreeFor(locks->pending, f.descriptor)) return SQLITE_BUSY;
    locks->reserved = f.descriptor;
    f.lock = SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
  }
  if (!FreeFor(locks->pending, f.descriptor)) return SQLITE_BUSY;
  locks->pending = f.descriptor;  // no new readers from here on
  f.lock = SQLITE_LOCK_PENDING;
  if (level == SQLITE_LOCK_PENDING) return SQLITE_OK;
  if (locks->shared > 1) return SQLITE_BUSY;
  locks->exclusive = f.descriptor;
  f.lock = SQLITE_LOCK_EXCLUSIVE;
  return SQLITE_OK;
}

int Unlock(sqlite3_file* file, int level) {
  DatabaseFile& f = Of(file);
  if (f.lock <= level) return SQLITE_OK;
  if (SimulatedDisk::DatabaseLocks* locks = LocksOf(f); locks != nullptr) {
    for (int* holder : {&locks->reserved, &locks->pending, &locks->exclusive}) {
      if (*holder == f.descriptor) *holder = -1;
    }
    if (level == SQLITE_LOCK_NONE) --locks->shared;
  }
  f.lock = level;
  return SQLITE_OK;
}

int CheckReservedLock(sqlite3_file* file, int* reserved) {
  const SimulatedDisk::DatabaseLocks* locks = LocksOf(Of(file));
  if (locks == nullptr) return SQLITE_IOERR_CHECKRESERVEDLOCK;
  *reserved = locks->reserved != -1 || locks->pending != -1 || locks->exclusive != -1;
  return SQLITE_OK;
}

int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return 4096; }
int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

constexpr sqlite3_io_methods kFileMethods = {
    .iVersion = 1,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Unlock,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
};

// ---- Folders -----------------------------------------------------------------------------------

int Open(sqlite3_vfs*, sqlite3_filename path, sqlite3_file* file, int flags, int* out_flags) {
  DatabaseFile& f = *new (file) DatabaseFile{};
  int open_flags = (flags & SQLITE_OPEN_READWRITE) != 0 ? O_RDWR : O_RDONLY;
  if ((flags & SQLITE_OPEN_CREATE) != 0) open_flags |= O_CREAT;
  if ((flags & SQLITE_OPEN_EXCLUSIVE) != 0) open_flags |= O_EXCL;
  if (path != nullptr) std::strncpy(f.path, path, kLongestPath);
  const int descriptor = OnDisk([&](auto& disk) {
    return path == nullptr ? disk.OpenNameless() : disk.Open(path, open_flags, 0600);
  });
  if (descriptor < 0) return SQLITE_CANTOPEN;
  f.descriptor = descriptor;
  f.lock = SQLITE_LOCK_NONE;
  f.sync_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
                  (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL)) != 0;
  f.remove_at_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  f.base.pMethods = &kFileMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* path, int sync_folder) {
  const int removed = OnDisk([&](auto& disk) { return disk.Remove(path); });
  if (removed == -ENOENT) return SQLITE_IOERR_DELETE_NOENT;
  if (removed < 0) return SQLITE_IOERR_DELETE;
  if (sync_folder == 0) return SQLITE_OK;
  const int synced = OnDisk([&](auto& disk) { return disk.SyncFolderOf(path); });
  return synced < 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

// An empty journal counts as none, as in SQLite's VFS for unix.
int Access(sqlite3_vfs*, const char* path, int flags, int* there) {
  struct stat about;
  const int result = OnDisk([&](auto& disk) { return disk.Look(path, &about); });
  *there = result == 0 &&
           (flags != SQLITE_ACCESS_EXISTS || !S_ISREG(about.st_mode) || about.st_size > 0);
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* path, int size, char* out) {
  if (std::strlen(path) >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::strcpy(out, path);
  return SQLITE_OK;
}

// ---- The machine -------------------------------------------------------------------------------

int Randomness(sqlite3_vfs*, int bytes, char* out) {
  if (SimulatedDisk* disk = UseDisk::current(); disk != nullptr) {
    disk->random().Fill({reinterpret_cast<std::uint8_t*>(out), static_cast<std::size_t>(bytes)});
  }
  return bytes;
}

int Sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

int CurrentTimeInt64(sqlite3_vfs*, sqlite3_int64* milliseconds) {
  constexpr sqlite3_int64 kUnixEpoch = 210866760000000;  // in milliseconds of Julian days
  const SimulatedDisk* disk = UseDisk::current();
  const Time now = disk == nullptr ? Time{} : disk->Now();
  *milliseconds =
      kUnixEpoch + std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
  return SQLITE_OK;
}

int CurrentTime(sqlite3_vfs* vfs, double* days) {
  sqlite3_int64 milliseconds = 0;
  CurrentTimeInt64(vfs, &milliseconds);
  *days = static_cast<double>(milliseconds) / 86'400'000.0;
  return SQLITE_OK;
}

int GetLastError(sqlite3_vfs*, int, char*) { return last_error; }

sqlite3_vfs simulated_vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(DatabaseFile),
    .mxPathname = kLongestPath,
    .pNext = nullptr,
    .zName = "simulated",
    .pAppData = nullptr,
    .xOpen = Open,
    .xDelete = Delete,
    .xAccess = Access,
    .xFullPathname = FullPathname,
    .xDlOpen = nullptr,
    .xDlError = nullptr,
    .xDlSym = nullptr,
    .xDlClose = nullptr,
    .xRandomness = Randomness,
    .xSleep = Sleep,
    .xCurrentTime = CurrentTime,
    .xGetLastError = GetLastError,
    .xCurrentTimeInt64 = CurrentTimeInt64,
};

}  // namespace

void RegisterSimulatedVfs() {
  CONSILIUM_CHECK(sqlite3_vfs_register(&simulated_vfs, /*makeDflt=*/1) == SQLITE_OK);
  sqlite3_randomness(0, nullptr);
}

}  // namespace consilium::simulation
