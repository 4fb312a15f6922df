#include "common/storage/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <climits>
#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"

namespace consilium::storage {
namespace {

constexpr int kBusyTimeoutMs = 10'000;

std::string FileNameOf(sqlite3* handle) {
  const char* path = sqlite3_db_filename(handle, "main");
  return path == nullptr ? "" : fs::path(path).filename().string();
}

bool IsDiskFull(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

absl::StatusCode CodeFor(int extended) {
  switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return absl::StatusCode::kAlreadyExists;
    // A quota or a size limit. SQLite calls only ENOSPC full, and its rollback has overwritten
    // errno by now.
    case SQLITE_IOERR_WRITE:
      return absl::StatusCode::kResourceExhausted;
  }
  switch (extended & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string_view AdviceFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return "; free some disk space and start again";
    case absl::StatusCode::kDataLoss:
      return "; the file is damaged or is no database: restore it from a backup";
    case absl::StatusCode::kUnavailable:
      return "; another process is writing to it: try again when that has ended";
    case absl::StatusCode::kPermissionDenied:
      return "; check who owns the file and its folder";
    default:
      return "";
  }
}

// What the last call on `handle` reported. SQLite's messages name tables and columns, never values.
absl::Status LastError(sqlite3* handle, std::string_view doing) {
  absl::StatusCode code = CodeFor(sqlite3_extended_errcode(handle));
  if ((sqlite3_extended_errcode(handle) & 0xff) ==
      SQLITE_CANTOPEN) {  // a journal may find no room or no disk either
    const int error = sqlite3_system_errno(handle);
    if (IsDiskFull(error)) code = absl::StatusCode::kResourceExhausted;
    if (error == EIO) code = absl::StatusCode::kInternal;
  }
  return absl::Status(code, StrCat(doing, " the database ", FileNameOf(handle), ": ",
                                   sqlite3_errmsg(handle), AdviceFor(code)));
}

absl::Status RunScript(sqlite3* handle, const char* sql, std::string_view doing) {
  if (sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return LastError(handle, doing);
  }
  return absl::OkStatus();
}

// Makes an empty file with mode 0600 when there is none. An existing file is not opened: closing a
// descriptor would drop the POSIX locks that another connection of this process may hold on it.
absl::Status MakePrivateFile(const fs::path& path) {
  const absl::Status status = WithContext(MakeEmptyFile(path).status(), "a new database");
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(StrCat(ToStd(status.message()), "; make its folder first"));
}

}  // namespace

namespace {

// Compiled statements that nobody uses at the moment, by their text: SQLite takes longer to compile
// most of ours than to run them. One that fails to compile again after a change of the tables
// reports it where it is stepped.
class IdleStatements {
 public:
  IdleStatements() = default;
  IdleStatements(const IdleStatements&) = delete;
  IdleStatements& operator=(const IdleStatements&) = delete;
  ~IdleStatements() { Clear(); }

  // Null when there is none.
  sqlite3_stmt* Take(std::string_view sql) {
    const absl::MutexLock lock(&mutex_);
    const auto found = statements_.find(sql);
    if (found == statements_.end()) return nullptr;
    sqlite3_stmt* statement = found->second;
    statements_.erase(found);
    return statement;
  }

  void Keep(sqlite3_stmt* statement) {
    constexpr std::size_t kMost = 256;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    {
      const absl::MutexLock lock(&mutex_);
      if (statements_.size() < kMost) {
        statements_.emplace(sqlite3_sql(statement), statement);
        return;
      }
    }
    sqlite3_finalize(statement);
  }

  void Clear() {
    const absl::MutexLock lock(&mutex_);
    for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    statements_.clear();
  }

 private:
  absl::Mutex mutex_;
  std::multimap<std::string, sqlite3_stmt*, std::less<>> statements_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

struct Statement::Impl {
  sqlite3* handle = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::shared_ptr<IdleStatements> idle;  // outlives the database when a statement does
  int bound = 0;
  bool bind_failed = false;
  bool done = false;

  ~Impl() {
    if (statement != nullptr) idle->Keep(statement);
  }
};

Statement::Statement(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Statement::Statement(Statement&&) noexcept = default;
Statement& Statement::operator=(Statement&&) noexcept = default;
Statement::~Statement() = default;

void Statement::Reset() {
  sqlite3_reset(impl_->statement);
  sqlite3_clear_bindings(impl_->statement);
  impl_->bound = 0;
  impl_->bind_failed = false;
  impl_->done = false;
}

void Statement::BindInt(int index, std::int64_t value) {
  impl_->bind_failed |= sqlite3_bind_int64(impl_->statement, index, value) != SQLITE_OK;
  impl_->bound = index;
}

void Statement::BindReal(int index, double value) {
  impl_->bind_failed |= sqlite3_bind_double(impl_->statement, index, value) != SQLITE_OK;
  impl_->bound = index;
}

void Statement::BindText(int index, std::string_view value) {
  const char* text = value.data() == nullptr ? "" : value.data();
  impl_->bind_failed |= sqlite3_bind_text64(impl_->statement, index, text, value.size(),
                                            SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK;
  impl_->bound = index;
}

void Statement::BindBlob(int index, ByteView value) {
  // A null pointer would bind NULL, and an empty vector may have one.
  const void* bytes = value.data() == nullptr ? static_cast<const void*>("") : value.data();
  impl_->bind_failed |= sqlite3_bind_blob64(impl_->statement, index, bytes, value.size(),
                                            SQLITE_TRANSIENT) != SQLITE_OK;
  impl_->bound = index;
}

void Statement::BindNull(int index) {
  impl_->bind_failed |= sqlite3_bind_null(impl_->statement, index) != SQLITE_OK;
  impl_->bound = index;
}

absl::StatusOr<bool> Statement::Step() {
  if (impl_->done) return false;
  const int parameters = sqlite3_bind_parameter_count(impl_->statement);
  if (impl_->bound != parameters) {
    return absl::InternalError(StrCat("a statement on the database ", FileNameOf(impl_->handle),
                                      " takes ", parameters, " values, ", impl_->bound,
                                      " were bound"));
  }
  if (impl_->bind_failed) {
    return absl::InternalError(
        StrCat("a value is too large for the database ", FileNameOf(impl_->handle)));
  }
  switch (sqlite3_step(impl_->statement)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      // Lets go of the read lock now, not when the statement is bound again.
      sqlite3_reset(impl_->statement);
      impl_->done = true;
      return false;
    default: {
      const absl::Status status =
          LastError(impl_->handle, sqlite3_stmt_readonly(impl_->statement) ? "reading" : "writing");
      sqlite3_reset(impl_->statement);
      impl_->done = true;
      return status;
    }
  }
}

absl::Status Statement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

std::int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(impl_->statement, column);
}

double Statement::Real(int column) const { return sqlite3_column_double(impl_->statement, column); }

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(impl_->statement, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(impl_->statement, column))};
}

Bytes Statement::Blob(int column) const {
  const auto* bytes =
      static_cast<const std::uint8_t*>(sqlite3_column_blob(impl_->statement, column));
  if (bytes == nullptr) return {};
  return {bytes, bytes + sqlite3_column_bytes(impl_->statement, column)};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(impl_->statement, column) == SQLITE_NULL;
}

struct Database::Impl {
  sqlite3* handle = nullptr;
  std::shared_ptr<IdleStatements> idle = std::make_shared<IdleStatements>();

  ~Impl() {
    idle->Clear();
    sqlite3_close_v2(handle);
  }

  // The compiled statement, Keep it afterwards; null with `sql` not being exactly one statement.
  absl::StatusOr<sqlite3_stmt*> Compile(std::string_view sql);
  absl::Status RunOne(std::string_view sql);

  absl::Status Configure();
  absl::StatusOr<std::int64_t> Integer(const char* sql);
  absl::StatusOr<std::string> Word(const char* sql);
  absl::Status CheckSound();
  absl::Status Migrate(const Migrations& migrations);
  absl::Status Transact(const std::function<absl::Status()>& body);
};

namespace {

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using StatementHandle = std::unique_ptr<sqlite3_stmt, StatementCloser>;

// Takes back whatever a transaction did unless it was committed, also when its body throws.
class Rollback {
 public:
  explicit Rollback(sqlite3* handle) : handle_(handle) {}
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() {
    // SQLite has rolled back by itself after some errors (a full disk, for one).
    if (sqlite3_get_autocommit(handle_) == 0) {
      sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }

 private:
  sqlite3* handle_;
};

// The first column of the first row as `read` takes it from the statement.
template <class Read>
auto QueryOne(sqlite3* handle, const char* sql, Read read)
    -> absl::StatusOr<decltype(read(nullptr))> {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(handle, sql, -1, &raw, nullptr) != SQLITE_OK) {
    return LastError(handle, "reading");
  }
  const StatementHandle statement(raw);
  if (sqlite3_step(raw) != SQLITE_ROW) return LastError(handle, "reading");
  return read(raw);
}

}  // namespace

absl::StatusOr<std::int64_t> Database::Impl::Integer(const char* sql) {
  return QueryOne(handle, sql,
                  [](sqlite3_stmt* s) -> std::int64_t { return sqlite3_column_int64(s, 0); });
}

absl::StatusOr<std::string> Database::Impl::Word(const char* sql) {
  return QueryOne(handle, sql, [](sqlite3_stmt* s) -> std::string {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
    return text == nullptr ? "" : text;
  });
}

absl::Status Database::Impl::Configure() {
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  RETURN_IF_ERROR(RunScript(handle,
                            "PRAGMA trusted_schema = OFF;"
                            "PRAGMA cell_size_check = ON;"
                            "PRAGMA foreign_keys = ON;"
                            // Of 512 KiB; the system keeps the file in memory as well.
                            "PRAGMA cache_size = -512;"
                            "PRAGMA synchronous = EXTRA;",
                            "opening"));
  ASSIGN_OR_RETURN(const std::string mode, Word("PRAGMA journal_mode = DELETE"));
  if (mode != "delete") {
    return absl::UnavailableError(StrCat("the database ", FileNameOf(handle),
                                         " stays in journal mode ", mode,
                                         ": end the other programs that have it open"));
  }
  return absl::OkStatus();
}

absl::Status Database::Impl::CheckSound() {
  ASSIGN_OR_RETURN(const std::string result, Word("PRAGMA quick_check(1)"));
  if (result == "ok") return absl::OkStatus();
  return absl::DataLossError(
      StrCat("the database ", FileNameOf(handle), " is damaged: restore it from a backup"));
}

absl::Status Database::Impl::Migrate(const Migrations& migrations) {
  const auto newest = static_cast<std::int64_t>(migrations.size());
  ASSIGN_OR_RETURN(std::int64_t version, Integer("PRAGMA user_version"));
  while (version < newest) {
    RETURN_IF_ERROR(Transact([&]() -> absl::Status {
      // Read again under the write lock: another process may have taken this step meanwhile.
      ASSIGN_OR_RETURN(version, Integer("PRAGMA user_version"));
      if (version >= newest) return absl::OkStatus();
      const std::string step(migrations[static_cast<std::size_t>(version)]);
      RETURN_IF_ERROR(
          RunScript(handle, step.c_str(), StrCat("migrating to version ", version + 1)));
      CONSILIUM_CHECK(sqlite3_get_autocommit(handle) == 0);  // a step ends no transaction
      ++version;
      return RunScript(handle, StrCat("PRAGMA user_version = ", version).c_str(), "migrating");
    }));
  }
  if (version > newest) {
    return absl::FailedPreconditionError(
        StrCat("the database ", FileNameOf(handle), " has version ", version,
               ", this program knows versions up to ", newest, ": upgrade this program"));
  }
  return absl::OkStatus();
}

absl::Status Database::Impl::Transact(const std::function<absl::Status()>& body) {
  CONSILIUM_CHECK(sqlite3_get_autocommit(handle) != 0);  // not reentrant
  RETURN_IF_ERROR(RunOne("BEGIN IMMEDIATE"));
  const Rollback rollback(handle);
  RETURN_IF_ERROR(body());
  return RunOne("COMMIT");
}

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

absl::StatusOr<Database> Database::Open(const fs::path& path, const Migrations& migrations) {
  RETURN_IF_ERROR(MakePrivateFile(path));
  auto impl = std::make_unique<Impl>();
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
  if (sqlite3_open_v2(path.c_str(), &impl->handle, flags, nullptr) != SQLITE_OK) {
    return LastError(impl->handle, "opening");
  }
  RETURN_IF_ERROR(impl->Configure());
  RETURN_IF_ERROR(impl->CheckSound());
  RETURN_IF_ERROR(impl->Migrate(migrations));
  return Database(std::move(impl));
}

absl::StatusOr<sqlite3_stmt*> Database::Impl::Compile(std::string_view sql) {
  if (sqlite3_stmt* statement = idle->Take(sql)) return statement;
  if (sql.size() > INT_MAX) return absl::InvalidArgumentError("the SQL text is too long");
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  if (sqlite3_prepare_v3(handle, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, &rest) != SQLITE_OK) {
    return LastError(handle, "preparing a statement for");
  }
  const std::string_view tail = sql.substr(static_cast<std::size_t>(rest - sql.data()));
  if (statement == nullptr || tail.find_first_not_of(" \n\t;") != std::string_view::npos) {
    sqlite3_finalize(statement);
    return absl::InvalidArgumentError("one SQL statement at a time, and not none");
  }
  return statement;
}

absl::Status Database::Impl::RunOne(std::string_view sql) {
  ASSIGN_OR_RETURN(sqlite3_stmt* const statement, Compile(sql));
  absl::Status status;
  if (sqlite3_step(statement) != SQLITE_DONE) status = LastError(handle, "writing");
  idle->Keep(statement);
  return status;
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  auto impl = std::make_unique<Statement::Impl>();
  impl->handle = impl_->handle;
  impl->idle = impl_->idle;
  ASSIGN_OR_RETURN(impl->statement, impl_->Compile(sql));
  return Statement(std::move(impl));
}

absl::Status Database::Transact(const std::function<absl::Status()>& body) {
  return impl_->Transact(body);
}

std::int64_t Database::LastInsertId() const { return sqlite3_last_insert_rowid(impl_->handle); }

}  // namespace consilium::storage
