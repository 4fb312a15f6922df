#include "tests/simulation/disk/power_loss_trial.h"

#include <algorithm>
#include <map>
#include <optional>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/storage/database.h"
#include "tests/simulation/disk/simulated_vfs.h"

namespace consilium::simulation {
namespace {

const std::string kMachine = "north";
const fs::path kState = "/sim/north/state";
const storage::Migrations kMigrations = {
    "CREATE TABLE item (id INTEGER PRIMARY KEY, value BLOB NOT NULL);",
    "CREATE TABLE total (id INTEGER PRIMARY KEY, changes INTEGER NOT NULL);"
    "INSERT INTO total VALUES (0, 0);"};
constexpr std::uint64_t kItems = 40;
constexpr std::uint64_t kFiles = 6;

// All that is stored: rows by id, files by name.
struct State {
  std::map<std::int64_t, Bytes> rows;
  std::int64_t changes = 0;
  std::map<std::string, Bytes> files;

  bool operator==(const State&) const = default;
};

Bytes RandomBytes(SeededRandom& random, std::uint64_t longest) {
  Bytes bytes(random.Below(longest + 1));
  random.Fill(bytes);
  return bytes;
}

class Trial {
 public:
  explicit Trial(const PowerLossTrial& trial)
      : disk_(trial.seed), use_(disk_), random_(trial.seed, "power loss trial") {
    RegisterSimulatedVfs();
    disk_.IgnoreSyncs(kMachine, trial.ignored);
  }

  PowerLossReport Run(std::uint64_t crashes) {
    while (report_.crashes < crashes && report_.failure.empty()) {
      PlanCrash(random_.Chance(0.25) ? 12 : 200);  // a few in the recovery itself
      if (!database_ && !Recover()) continue;
      while (report_.failure.empty() && Step()) {
      }
      database_.reset();
      lock_.reset();
    }
    return report_;
  }

 private:
  void PlanCrash(std::uint64_t operations) {
    disk_.CrashAtOperation(kMachine, 1 + random_.Below(operations),
                           random_.Below(3) == 0 ? CrashKind::kKill : CrashKind::kPowerLoss);
  }

  // True: the error is the planned crash. Else it is reported.
  bool Crashed(const absl::Status& status, std::string_view doing) {
    if (disk_.crashed(kMachine)) {
      ++report_.crashes;
      disk_.Restart(kMachine);
      return true;
    }
    Fail(StrCat(doing, ": ", ToStd(status.message())));
    return false;
  }

  void Fail(std::string_view what) {
    report_.failure = StrCat("after ", report_.crashes, " crashes, ", report_.transactions,
                             " transactions and ", report_.files, " files: ", what);
  }

  // Opens what the last crash left, and compares it. False: it crashed again.
  bool Recover() {
    const absl::Status status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(kState));
      lock_.emplace(std::move(lock));
      ASSIGN_OR_RETURN(storage::Database database,
                       storage::Database::Open(kState / "a.db", kMigrations));
      database_.emplace(std::move(database));
      return absl::OkStatus();
    }();
    if (!status.ok()) {
      report_.in_recovery += Crashed(status, "opening");
      return false;
    }
    Compare();
    return report_.failure.empty();
  }

  void Compare() {
    const absl::StatusOr<State> found = Read();
    if (!found.ok()) return Fail(StrCat("reading back: ", ToStd(found.status().message())));
    if (*found == acknowledged_) return;
    if (*found == attempted_) {
      ++report_.kept_unacknowledged;
      acknowledged_ = attempted_;
      return;
    }
    Fail(Difference(*found));
  }

  std::string Difference(const State& found) const {
    if (found.rows != acknowledged_.rows && found.rows != attempted_.rows) {
      return "a row is not as it was acknowledged";
    }
    for (const auto& [name, content] : acknowledged_.files) {
      const auto there = found.files.find(name);
      if (there == found.files.end()) return StrCat("the file ", name, " is gone");
      if (there->second != content) return StrCat("the file ", name, " is not as acknowledged");
    }
    return "a row and its counter, or a file, are only half there";
  }

  absl::StatusOr<State> Read() {
    State state;
    ASSIGN_OR_RETURN(storage::Statement rows, database_->Prepare("SELECT id, value FROM item"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, rows.Step());
      if (!more) break;
      state.rows[rows.Int(0)] = rows.Blob(1);
    }
    ASSIGN_OR_RETURN(storage::Statement total, database_->Prepare("SELECT changes FROM total"));
    RETURN_IF_ERROR(total.Step().status());
    state.changes = total.Int(0);
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(kState));
    for (const FolderEntry& entry : entries) {
      const std::string name = entry.path.filename().string();
      if (name.rfind("file-", 0) != 0 || entry.path.extension() == ".tmp") continue;
      ASSIGN_OR_RETURN(state.files[name], ReadFile(entry.path));
    }
    return state;
  }

  // One durable step. False: the machine crashed in it.
  bool Step() {
    attempted_ = acknowledged_;
    const bool transaction = random_.Chance(0.5);
    const absl::Status status = transaction           ? WriteRows()
                                : random_.Chance(0.5) ? WriteFile()
                                                      : MoveFile();
    if (!status.ok()) {
      Crashed(status, transaction ? "a transaction" : "a file");
      return false;
    }
    // The crash may come after the last operation of a step that succeeded all the same, as when a
    // database rolls back a journal; a machine that is down acknowledges nothing.
    if (disk_.crashed(kMachine)) return !Crashed(status, "");
    acknowledged_ = attempted_;
    ++(transaction ? report_.transactions : report_.files);
    return true;
  }

  absl::Status WriteRows() {
    return database_->Transact([&]() -> absl::Status {
      const std::uint64_t count = 1 + random_.Below(6);
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto id = static_cast<std::int64_t>(random_.Below(kItems));
        if (random_.Chance(0.2)) {
          RETURN_IF_ERROR(database_->Execute("DELETE FROM item WHERE id = ?", id));
          attempted_.rows.erase(id);
        } else {
          const Bytes value = RandomBytes(random_, 3000);
          RETURN_IF_ERROR(
              database_->Execute("INSERT OR REPLACE INTO item VALUES (?, ?)", id, value));
          attempted_.rows[id] = value;
        }
      }
      ++attempted_.changes;
      return database_->Execute("UPDATE total SET changes = changes + 1");
    });
  }

  absl::Status WriteFile() {
    const std::string name = StrCat("file-", random_.Below(kFiles));
    const Bytes& content = attempted_.files[name] = RandomBytes(random_, 3000);
    return WriteFileDurably(kState / name, content);
  }

  // As an upload comes in: in pieces, into a file beside, which then takes the other's place.
  absl::Status MoveFile() {
    const std::string name = StrCat("file-", random_.Below(kFiles));
    const Bytes& content = attempted_.files[name] = RandomBytes(random_, 5000);
    const fs::path part = kState / "part.tmp";
    {
      ASSIGN_OR_RETURN(File file, File::OpenForWriting(part, /*truncate=*/true));
      for (std::size_t at = 0; at < content.size(); at += 2000) {
        const std::size_t count = std::min<std::size_t>(2000, content.size() - at);
        RETURN_IF_ERROR(file.WriteAt(at, ByteView(content).subspan(at, count)));
      }
      RETURN_IF_ERROR(file.Sync());
    }
    return RenameDurably(part, kState / name);
  }

  SimulatedDisk disk_;
  UseDisk use_;
  SeededRandom random_;
  std::optional<FolderLock> lock_;
  std::optional<storage::Database> database_;
  State acknowledged_;
  State attempted_;
  PowerLossReport report_;
};

}  // namespace

PowerLossReport Run(const PowerLossTrial& trial) { return Trial(trial).Run(trial.crashes); }

}  // namespace consilium::simulation
