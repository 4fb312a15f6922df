#include "tests/simulation/disk/simulated_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <set>
#include <utility>

#include "common/base/status.h"
#include "tests/simulation/disk/file_content.h"

namespace consilium::simulation {
namespace {

constexpr std::string_view kRoot = "/sim";

bool Happens(SeededRandom& random, double chance) { return chance > 0 && random.Chance(chance); }

// Takes the next name from the path; empty at its end.
std::string_view NextName(std::string_view* path) {
  while (!path->empty() && path->front() == '/') path->remove_prefix(1);
  const std::string_view name = path->substr(0, path->find('/'));
  path->remove_prefix(name.size());
  return name;
}

bool IsBelow(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.substr(0, folder.size()) == folder &&
         path[folder.size()] == '/';
}

}  // namespace

struct SimulatedDisk::Node {
  using Entries = std::map<std::string, NodePointer, std::less<>>;

  bool folder = false;
  mode_t mode = 0;
  Time modified{};
  FileContent content;
  Entries entries;  // of a folder, as the programs see them
  Entries durable_entries;
  int lock_holder = -1;  // a descriptor
  DatabaseLocks database_locks;
  std::uint64_t locks_of_life = 0;  // locks of an earlier life of the machine are void

  void EnterLife(std::uint64_t life) {
    if (locks_of_life == life) return;
    lock_holder = -1;
    database_locks = {};
    locks_of_life = life;
  }

  template <class Visit>
  void Walk(const Visit& visit) {
    visit(*this);
    for (const auto& [name, node] : entries) node->Walk(visit);
  }
};

namespace {

// An entry that changed; what was renamed changed two at once. No node: it was removed.
template <class NodePointer>
struct FolderChange {
  struct Edit {
    NodePointer folder;
    std::string name;
    NodePointer node;
  };
  std::vector<Edit> edits;

  void MakeDurable() const {
    for (const Edit& edit : edits) Set(edit.folder->durable_entries, edit);
  }
  void Make() const {
    for (const Edit& edit : edits) Set(edit.folder->entries, edit);
  }

  template <class Entries>
  static void Set(Entries& entries, const Edit& edit) {
    if (edit.node == nullptr) {
      entries.erase(edit.name);
    } else {
      entries.insert_or_assign(edit.name, edit.node);
    }
  }
};

}  // namespace

struct SimulatedDisk::Machine {
  using Changes = std::vector<FolderChange<NodePointer>>;

  NodePointer root = std::make_shared<Node>(Node{.folder = true, .mode = 0700});
  Changes changes;  // of folders, not yet durable, in order
  bool down = false;
  std::uint64_t life = 1;
  std::uint64_t operations_left = 0;  // until the planned crash; 0: none is planned
  CrashKind planned = CrashKind::kKill;
  std::optional<std::uint64_t> quota;
  DiskFaults faults;
  IgnoredSyncs ignored = IgnoredSyncs::kNone;
  std::uint64_t syncs_to_ignored = 0;  // 0: none
  DiskCounters counters;

  std::uint64_t UsedBytes() const {
    std::uint64_t used = 0;
    root->Walk([&](const Node& node) { used += node.content.bytes().size(); });
    return used;
  }

  std::uint64_t Room() const {
    if (!quota) return ~std::uint64_t{0};
    const std::uint64_t used = UsedBytes();
    return *quota > used ? *quota - used : 0;
  }

  void SyncFolder(Node* folder);
  bool IgnoresThisSync(bool of_folder);

  void Edit(FolderChange<NodePointer> change) {
    change.Make();
    changes.push_back(std::move(change));
  }
};

// Where a path leads: the folder, the last name, and what is there (null: nothing).
struct SimulatedDisk::Place {
  Machine* machine = nullptr;  // null: not below /sim/MACHINE
  NodePointer folder;  // null: a folder on the way is missing, or this is the machine's root
  std::string_view name;
  NodePointer node;
  int error = 0;
};

struct SimulatedDisk::OpenFile {
  NodePointer node;
  Machine* machine = nullptr;  // null: a nameless file
  std::uint64_t life = 0;
  bool writable = false;
};

SimulatedDisk::SimulatedDisk(std::uint64_t seed, const Clock* clock)
    : random_(seed, "disk"), clock_(clock) {}

SimulatedDisk::~SimulatedDisk() = default;

Time SimulatedDisk::Now() const { return clock_ == nullptr ? Time{} : clock_->Now(); }

std::string SimulatedDisk::UniqueName() { return StrCat(next_name_++); }

SimulatedDisk::Machine& SimulatedDisk::Named(std::string_view machine) const {
  const auto found = machines_.find(machine);
  if (found != machines_.end()) return *found->second;
  return *machines_.emplace(machine, std::make_unique<Machine>()).first->second;
}

// ---- Crashes -----------------------------------------------------------------------------------

// A prefix, none, all or any of the changes survive.
void SimulatedDisk::LoseFolderChanges(Machine& machine, SeededRandom& random) {
  const std::uint64_t course = random.Below(4);
  const std::size_t first_lost = course == 0   ? 0
                                 : course == 1 ? random.Below(machine.changes.size() + 1)
                                               : machine.changes.size();
  std::set<Node*> touched;
  std::vector<NodePointer> folders;  // in the order of the changes
  for (std::size_t i = 0; i < machine.changes.size(); ++i) {
    for (const auto& edit : machine.changes[i].edits) {
      if (touched.insert(edit.folder.get()).second) folders.push_back(edit.folder);
    }
    const bool kept = i < first_lost && (course != 3 || random.Chance(0.5));
    if (kept) machine.changes[i].MakeDurable();
  }
  machine.changes.clear();
  for (const NodePointer& folder : folders) folder->entries = folder->durable_entries;
}

void SimulatedDisk::Crash(Machine& machine, CrashKind kind) {
  machine.down = true;
  machine.operations_left = 0;
  ++machine.life;
  if (kind == CrashKind::kKill) return;
  LoseFolderChanges(machine, random_);
  machine.root->Walk([&](Node& node) {
    if (!node.content.durable()) node.content.LosePower(random_);
  });
}

void SimulatedDisk::Crash(std::string_view machine, CrashKind kind) { Crash(Named(machine), kind); }

void SimulatedDisk::CrashAtOperation(std::string_view machine, std::uint64_t n, CrashKind kind) {
  CONSILIUM_CHECK(n > 0);
  Machine& named = Named(machine);
  named.operations_left = n;
  named.planned = kind;
}

void SimulatedDisk::CancelCrash(std::string_view machine) { Named(machine).operations_left = 0; }

bool SimulatedDisk::crashed(std::string_view machine) const { return Named(machine).down; }

void SimulatedDisk::Restart(std::string_view machine) { Named(machine).down = false; }

// ---- Settings and counters ---------------------------------------------------------------------

void SimulatedDisk::SetQuota(std::string_view machine, std::optional<std::uint64_t> bytes) {
  Named(machine).quota = bytes;
}

std::uint64_t SimulatedDisk::UsedBytes(std::string_view machine) const {
  return Named(machine).UsedBytes();
}

DiskFaults SimulatedDisk::SetFaults(std::string_view machine, const DiskFaults& faults) {
  return std::exchange(Named(machine).faults, faults);
}

void SimulatedDisk::IgnoreSyncs(std::string_view machine, IgnoredSyncs which) {
  Named(machine).ignored = which;
}

void SimulatedDisk::IgnoreSync(std::string_view machine, std::uint64_t n) {
  Named(machine).syncs_to_ignored = n;
}

DiskCounters SimulatedDisk::counters(std::string_view machine) const {
  return Named(machine).counters;
}

DiskCounters SimulatedDisk::counters() const {
  DiskCounters sum;
  for (const auto& [name, machine] : machines_) {
    sum.operations += machine->counters.operations;
    sum.syncs += machine->counters.syncs;
    sum.bytes_written += machine->counters.bytes_written;
  }
  return sum;
}

// ---- Paths and descriptors ---------------------------------------------------------------------

SimulatedDisk::Place SimulatedDisk::Find(std::string_view path) {
  Place place;
  if (!IsBelow(path, kRoot)) return {.error = -ENOENT};
  path.remove_prefix(kRoot.size());
  const std::string_view machine = NextName(&path);
  if (machine.empty()) return {.error = -ENOENT};
  place.machine = &Named(machine);
  place.node = place.machine->root;
  for (std::string_view name = NextName(&path); !name.empty(); name = NextName(&path)) {
    if (name == ".") continue;
    CONSILIUM_CHECK(name != "..");  // no program of ours climbs
    if (place.node == nullptr) return {.machine = place.machine, .error = -ENOENT};
    if (!place.node->folder) return {.machine = place.machine, .error = -ENOTDIR};
    place.folder = std::move(place.node);
    place.name = name;
    const auto entry = place.folder->entries.find(name);
    place.node = entry == place.folder->entries.end() ? nullptr : entry->second;
  }
  return place;
}

int SimulatedDisk::FindLiving(std::string_view path, Place* place) {
  *place = Find(path);
  if (place->machine != nullptr && place->machine->down) return -EIO;
  return place->error;
}

SimulatedDisk::OpenFile* SimulatedDisk::Living(int descriptor, int* error) const {
  const auto found = open_.find(descriptor);
  *error = 0;
  if (found == open_.end()) {
    *error = -EBADF;
    return nullptr;
  }
  OpenFile* file = found->second.get();
  if (file->machine != nullptr && (file->machine->down || file->life != file->machine->life)) {
    *error = -EIO;
    return nullptr;
  }
  return file;
}

int SimulatedDisk::NewDescriptor(OpenFile file) {
  // Far from real descriptors, so that none is mistaken for one.
  constexpr unsigned kFirst = 1u << 24;
  static std::atomic<unsigned> next{0};
  const int descriptor = static_cast<int>(kFirst + next++ % (INT_MAX - kFirst));
  open_[descriptor] = std::make_unique<OpenFile>(std::move(file));
  return descriptor;
}

template <class Operation>
int SimulatedDisk::Change(Machine& machine, const Operation& operation) {
  ++machine.counters.operations;
  const bool last = machine.operations_left > 0 && --machine.operations_left == 0;
  int result = -EIO;
  if (last) {
    if (random_.Chance(0.5)) (void)operation();
    Crash(machine, machine.planned);
  } else {
    result = operation();
  }
  return result;
}

// ---- The calls ---------------------------------------------------------------------------------

int SimulatedDisk::Make(const Place& place, bool folder, mode_t mode, NodePointer* made) {
  if (Happens(random_, place.machine->faults.write_error)) return -EIO;
  if (place.machine->Room() == 0) return -ENOSPC;
  return Change(*place.machine, [&] {
    *made = std::make_shared<Node>(Node{.folder = folder, .mode = mode, .modified = Now()});
    place.machine->Edit({{{place.folder, std::string(place.name), *made}}});
    return 0;
  });
}

int SimulatedDisk::Open(std::string_view path, int flags, mode_t mode) {
  Place place;
  if (const int error = FindLiving(path, &place); error != 0) return error;
  const bool writable = (flags & O_ACCMODE) != O_RDONLY;
  if (place.node == nullptr) {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    if (const int error = Make(place, false, mode, &place.node); error != 0) return error;
  } else {
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return -EEXIST;
    if ((flags & O_DIRECTORY) != 0 && !place.node->folder) return -ENOTDIR;
    if (place.node->folder && writable) return -EISDIR;
  }
  const int descriptor = NewDescriptor({.node = place.node,
                                        .machine = place.machine,
                                        .life = place.machine->life,
                                        .writable = writable});
  if ((flags & O_TRUNC) != 0 && !place.node->content.bytes().empty()) {
    if (const int error = Resize(descriptor, 0); error != 0) {
      Close(descriptor);
      return error;
    }
  }
  return descriptor;
}

int SimulatedDisk::OpenNameless() {
  return NewDescriptor({.node = std::make_shared<Node>(), .writable = true});
}

void SimulatedDisk::Close(int descriptor) {
  const auto found = open_.find(descriptor);
  if (found == open_.end()) return;  // of a disk that is gone
  if (found->second->node->lock_holder == descriptor) found->second->node->lock_holder = -1;
  open_.erase(found);
}

ssize_t SimulatedDisk::ReadAt(int descriptor, void* out, std::size_t bytes, std::uint64_t offset) {
  int error;
  const OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  if (file->node->folder) return -EISDIR;
  if (file->machine != nullptr) {
    if (Happens(random_, file->machine->faults.read_error)) return -EIO;
    if (bytes > 1 && Happens(random_, file->machine->faults.short_read)) {
      bytes = 1 + random_.Below(bytes - 1);
    }
  }
  const Bytes& content = file->node->content.bytes();
  if (offset >= content.size()) return 0;
  bytes = std::min<std::uint64_t>(bytes, content.size() - offset);
  std::memcpy(out, content.data() + offset, bytes);
  return static_cast<ssize_t>(bytes);
}

ssize_t SimulatedDisk::WriteAt(int descriptor, const void* from, std::size_t bytes,
                               std::uint64_t offset) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  if (!file->writable) return -EBADF;
  const ByteView view(static_cast<const std::uint8_t*>(from), bytes);
  Machine* machine = file->machine;
  if (bytes == 0 || machine == nullptr) {
    file->node->content.Write(offset, view);
    return static_cast<ssize_t>(bytes);
  }
  if (Happens(random_, machine->faults.write_error)) return -EIO;
  if (bytes > 1 && Happens(random_, machine->faults.short_write)) {
    bytes = 1 + random_.Below(bytes - 1);
  }
  if (machine->quota) {
    const std::uint64_t size = file->node->content.bytes().size();
    const std::uint64_t largest = size + machine->Room();
    if (offset + bytes > size) bytes = std::min(bytes, largest - std::min(largest, offset));
    if (bytes == 0) return -ENOSPC;
  }
  const bool last = machine->operations_left == 1;
  const std::size_t whole = bytes;
  if (last) bytes = random_.Below(bytes + 1);
  const int result = Change(*machine, [&] {
    file->node->content.Write(offset, view.first(bytes));
    file->node->modified = Now();
    machine->counters.bytes_written += bytes;
    return 0;
  });
  return result == 0 ? static_cast<ssize_t>(whole) : result;
}

int SimulatedDisk::Resize(int descriptor, std::uint64_t bytes) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  if (!file->writable) return -EINVAL;
  if (file->machine == nullptr) {
    file->node->content.Resize(bytes);
    return 0;
  }
  const std::uint64_t size = file->node->content.bytes().size();
  if (Happens(random_, file->machine->faults.write_error)) return -EIO;
  if (bytes > size && bytes - size > file->machine->Room()) return -ENOSPC;
  return Change(*file->machine, [&] {
    file->node->content.Resize(bytes);
    file->node->modified = Now();
    return 0;
  });
}

// All changes of the folder are durable, and what hangs together with them: the folders at the
// other end of a rename, and the one that holds this folder's own new entry.
void SimulatedDisk::Machine::SyncFolder(Node* folder) {
  if (changes.empty()) return;
  std::set<Node*> synced = {folder};
  std::vector<bool> durable(changes.size(), false);
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      if (durable[i]) continue;
      const auto& edits = changes[i].edits;
      if (std::none_of(edits.begin(), edits.end(), [&](const auto& edit) {
            return synced.count(edit.folder.get()) > 0 || synced.count(edit.node.get()) > 0;
          })) {
        continue;
      }
      durable[i] = more = true;
      for (const auto& edit : edits) synced.insert(edit.folder.get());
    }
  }
  Changes left;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (durable[i]) {
      changes[i].MakeDurable();
    } else {
      left.push_back(std::move(changes[i]));
    }
  }
  changes = std::move(left);
}

bool SimulatedDisk::Machine::IgnoresThisSync(bool of_folder) {
  if (syncs_to_ignored > 0 && --syncs_to_ignored == 0) return true;
  return ignored == IgnoredSyncs::kAll ||
         ignored == (of_folder ? IgnoredSyncs::kOfFolders : IgnoredSyncs::kOfFiles);
}

int SimulatedDisk::Sync(int descriptor) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  if (file->machine == nullptr) return 0;
  Machine& machine = *file->machine;
  Node& node = *file->node;
  ++machine.counters.syncs;
  if (Happens(random_, machine.faults.sync_error)) {
    node.content.FailSync(random_);
    return -EIO;
  }
  if (machine.IgnoresThisSync(node.folder)) return 0;
  return Change(machine, [&] {
    if (node.folder) {
      machine.SyncFolder(&node);
    } else {
      node.content.Sync();
    }
    return 0;
  });
}

int SimulatedDisk::SyncAll(int descriptor) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  Machine& machine = *file->machine;
  ++machine.counters.syncs;
  if (Happens(random_, machine.faults.sync_error)) return -EIO;
  if (machine.ignored == IgnoredSyncs::kAll) return 0;
  return Change(machine, [&] {
    for (const auto& change : machine.changes) change.MakeDurable();
    machine.changes.clear();
    machine.root->Walk([](Node& node) { node.content.Sync(); });
    return 0;
  });
}

int SimulatedDisk::SetMode(int descriptor, mode_t mode) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  file->node->mode = mode;
  return 0;
}

int SimulatedDisk::Lock(int descriptor) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return error;
  file->node->EnterLife(file->life);
  int& holder = file->node->lock_holder;
  if (holder != -1 && holder != descriptor) return -EWOULDBLOCK;
  holder = descriptor;
  return 0;
}

SimulatedDisk::DatabaseLocks* SimulatedDisk::LocksOf(int descriptor) {
  int error;
  OpenFile* file = Living(descriptor, &error);
  if (file == nullptr) return nullptr;
  file->node->EnterLife(file->life);
  return &file->node->database_locks;
}

namespace {

template <class Node>
void Describe(const Node& node, struct stat* about) {
  *about = {};
  about->st_mode = node.mode | (node.folder ? S_IFDIR : S_IFREG);
  about->st_size = static_cast<off_t>(node.content.bytes().size());
  const auto since = node.modified.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  about->st_mtim.tv_sec = seconds.count();
  about->st_mtim.tv_nsec = std::chrono::nanoseconds(since - seconds).count();
}

}  // namespace

int SimulatedDisk::Look(int descriptor, struct stat* about) const {
  int error;
  const OpenFile* file = Living(descriptor, &error);
  if (file != nullptr) Describe(*file->node, about);
  return error;
}

int SimulatedDisk::Look(std::string_view path, struct stat* about) {
  if (path == kRoot) {
    *about = {};
    about->st_mode = S_IFDIR | 0700;
    return 0;
  }
  Place place;
  if (const int error = FindLiving(path, &place); error != 0) return error;
  if (place.node == nullptr) return -ENOENT;
  Describe(*place.node, about);
  return 0;
}

int SimulatedDisk::Rename(std::string_view from, std::string_view to) {
  Place source, target;
  if (const int error = FindLiving(from, &source); error != 0) return error;
  if (const int error = FindLiving(to, &target); error != 0) return error;
  if (source.node == nullptr) return -ENOENT;
  if (source.machine != target.machine) return -EXDEV;
  if (source.folder == nullptr || target.folder == nullptr) return -EBUSY;  // a machine's root
  if (source.node == target.node) return 0;
  if (IsBelow(to, from)) return -EINVAL;
  if (target.node != nullptr && target.node->folder != source.node->folder) {
    return target.node->folder ? -EISDIR : -ENOTDIR;
  }
  if (target.node != nullptr && !target.node->entries.empty()) return -ENOTEMPTY;
  if (Happens(random_, source.machine->faults.write_error)) return -EIO;
  return Change(*source.machine, [&] {
    source.machine->Edit({{{source.folder, std::string(source.name), nullptr},
                           {target.folder, std::string(target.name), source.node}}});
    return 0;
  });
}

int SimulatedDisk::Remove(std::string_view path) {
  Place place;
  if (const int error = FindLiving(path, &place); error != 0) return error;
  if (place.node == nullptr) return -ENOENT;
  if (place.folder == nullptr) return -EBUSY;  // a machine's root
  if (!place.node->entries.empty()) return -ENOTEMPTY;
  if (Happens(random_, place.machine->faults.write_error)) return -EIO;
  return Change(*place.machine, [&] {
    place.machine->Edit({{{place.folder, std::string(place.name), nullptr}}});
    return 0;
  });
}

int SimulatedDisk::MakeFolder(std::string_view path, mode_t mode) {
  if (path == kRoot) return -EEXIST;
  Place place;
  if (const int error = FindLiving(path, &place); error != 0) return error;
  if (place.node != nullptr) return -EEXIST;
  NodePointer made;
  return Make(place, true, mode, &made);
}

int SimulatedDisk::List(std::string_view path, std::vector<std::string>* names) {
  if (path == kRoot) {
    for (const auto& [name, machine] : machines_) names->push_back(name);
    return 0;
  }
  Place place;
  if (const int error = FindLiving(path, &place); error != 0) return error;
  if (place.node == nullptr) return -ENOENT;
  if (!place.node->folder) return -ENOTDIR;
  if (Happens(random_, place.machine->faults.read_error)) return -EIO;
  for (const auto& [name, node] : place.node->entries) names->push_back(name);
  return 0;
}

int SimulatedDisk::SyncFolderOf(std::string_view path) {
  const int folder = Open(path.substr(0, path.rfind('/')), O_RDONLY | O_DIRECTORY, 0);
  if (folder < 0) return folder;
  const int result = Sync(folder);
  Close(folder);
  return result;
}

}  // namespace consilium::simulation
