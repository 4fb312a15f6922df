#pragma once

// A folder of received instances, the journal of what arrived: FOLDER/ab/abcdef....dcm, named by
// the SHA-256 of the SOP instance UID, so that neither a peer nor a patient chooses a name. A file
// has its name once it is whole and durable (written in FOLDER/.incoming, synced, renamed, folder
// synced): what is there is complete, also after kill -9 or a loss of power, and nothing else needs
// to be remembered for a pull to go on.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "datasets/pacs/part10.h"

namespace consilium::datasets::pacs {

inline constexpr std::uint64_t kDefaultMaxInstanceBytes = 4ull << 30;

class InstanceStore;

// One instance on its way to the disk; gone without a trace unless committed. One thread.
class IncomingInstance {
 public:
  IncomingInstance(IncomingInstance&& other) noexcept;
  IncomingInstance& operator=(IncomingInstance&&) = delete;
  ~IncomingInstance();

  // kOutOfRange over the store's limit; kResourceExhausted: the disk is full.
  absl::Status Append(ByteView data_set_bytes);
  // Durable when OK. kInvalidArgument when the data set names another instance or SOP class than
  // the message that brought it.
  absl::Status Commit();

 private:
  friend class InstanceStore;
  IncomingInstance(InstanceStore* store, InstanceHead head, fs::path temporary, File file)
      : store_(store),
        head_(std::move(head)),
        temporary_(std::move(temporary)),
        file_(std::move(file)) {}
  absl::Status Flush();

  InstanceStore* store_;
  InstanceHead head_;
  fs::path temporary_;  // empty: nothing to remove
  File file_;
  std::uint64_t written_ = 0;  // to the file, with its head
  std::uint64_t size_ = 0;     // of the data set so far
  Bytes buffer_;               // not written yet
  Bytes beginning_;            // of the data set
};

// Thread-safe; must outlive its incoming instances. One process at a time has the folder.
class InstanceStore {
 public:
  // Removes what a killed process left unfinished. kUnavailable when another process has it.
  static absl::StatusOr<std::unique_ptr<InstanceStore>> Open(
      const fs::path& folder, std::uint64_t max_instance_bytes = kDefaultMaxInstanceBytes);

  bool Has(std::string_view sop_instance_uid) const;
  // kInvalidArgument: UIDs that are none, no storage SOP class, a transfer syntax that we do not
  // take.
  absl::StatusOr<IncomingInstance> Begin(InstanceHead head);

  std::uint64_t max_instance_bytes() const { return max_instance_bytes_; }
  // Since Open(); duplicates are not counted.
  std::uint64_t arrived() const { return arrived_.load(); }
  std::uint64_t arrived_bytes() const { return arrived_bytes_.load(); }

 private:
  friend class IncomingInstance;
  InstanceStore(fs::path folder, FolderLock lock, std::uint64_t max_instance_bytes)
      : folder_(std::move(folder)),
        lock_(std::move(lock)),
        max_instance_bytes_(max_instance_bytes) {}
  fs::path PathOf(std::string_view sop_instance_uid) const;

  const fs::path folder_;
  const FolderLock lock_;
  const std::uint64_t max_instance_bytes_;
  std::atomic<std::uint64_t> arrived_{0}, arrived_bytes_{0};
};

}  // namespace consilium::datasets::pacs
