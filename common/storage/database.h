#pragma once

// SQLite as RAII. One connection per database, rollback journal, synchronous=EXTRA, foreign keys
// on, busy timeout 10 s. The only place that includes sqlite3.h.
//
// Errors: a full disk (quota, refused write) is kResourceExhausted; a damaged file kDataLoss; a
// lock that stays taken kUnavailable; a broken UNIQUE or PRIMARY KEY kAlreadyExists; another broken
// constraint kFailedPrecondition; no permission kPermissionDenied; anything else kInternal.
// Messages name the file (not its folder), tables and columns, never a value.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"

namespace consilium::storage {

class Database;

// A prepared statement. The database keeps the compiled form of one that ended for the next with
// the same text. Bind in order with Bind(...), then Step() until it returns false. Not thread-safe.
// Must not outlive its database. A statement is reset by its next Bind; one that ended, or failed,
// holds no lock. The number of values bound must be the number of parameters (else Step fails,
// kInternal).
class Statement {
 public:
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) noexcept;
  ~Statement();

  // Binds all parameters from the first on: integers, double, bool, text, ByteView (blob),
  // std::optional of these, nullptr.
  template <class... Values>
  Statement& Bind(const Values&... values) {
    Reset();
    int index = 0;
    (BindAny(++index, values), ...);
    return *this;
  }
  // True: a row is there. False: done.
  absl::StatusOr<bool> Step();
  absl::Status Run();  // Step() to the end, rows dropped

  std::int64_t Int(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;
  Bytes Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  struct Impl;
  explicit Statement(std::unique_ptr<Impl> impl);
  void Reset();
  void BindInt(int index, std::int64_t value);
  void BindReal(int index, double value);
  void BindText(int index, std::string_view value);
  void BindBlob(int index, ByteView value);
  void BindNull(int index);
  template <class T>
  void BindAny(int index, const T& value) {
    if constexpr (std::is_same_v<T, std::nullptr_t>) {
      BindNull(index);
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      BindInt(index, static_cast<std::int64_t>(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      BindReal(index, value);
    } else if constexpr (std::is_convertible_v<T, std::string_view>) {
      BindText(index, value);
    } else if constexpr (std::is_convertible_v<T, ByteView>) {
      BindBlob(index, value);
    } else {  // std::optional
      if (value) {
        BindAny(index, *value);
      } else {
        BindNull(index);
      }
    }
  }
  std::unique_ptr<Impl> impl_;
};

// One migration a step; step i brings a database from version i to i+1 (PRAGMA user_version).
using Migrations = std::vector<std::string_view>;

class Database {
 public:
  // Opens or makes the file (mode 0600) and brings it to version migrations.size(), each step in
  // one transaction. A newer version than that is refused (kFailedPrecondition: upgrade this
  // program). A damaged file: kDataLoss (the whole file is read once: PRAGMA quick_check). Its
  // folder must be there.
  static absl::StatusOr<Database> Open(const fs::path& path, const Migrations& migrations);

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // Prepare, Bind, Run.
  template <class... Values>
  absl::Status Execute(std::string_view sql, const Values&... values) {
    auto statement = Prepare(sql);
    if (!statement.ok()) return statement.status();
    return statement->Bind(values...).Run();
  }
  // Runs `body` in one transaction (BEGIN IMMEDIATE); commits when it returns OK, else rolls back.
  // Not reentrant. A failed commit is returned, and nothing of it remains when the disk was full
  // (kResourceExhausted) or the body failed. After an I/O error (kInternal) it is there as a whole
  // or not at all, and a loss of power may still decide otherwise: end the process, and read on the
  // next start which it is.
  absl::Status Transact(const std::function<absl::Status()>& body);
  std::int64_t LastInsertId() const;

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::storage
