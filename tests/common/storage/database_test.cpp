#include "common/storage/database.h"

#include <sys/stat.h>

#include <limits>

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium::storage {
namespace {

const Migrations kFirst = {"CREATE TABLE site (name TEXT PRIMARY KEY, patients INTEGER NOT NULL);"};
const Migrations kSecond = {kFirst[0],
                            "ALTER TABLE site ADD COLUMN city TEXT;"
                            "CREATE TABLE visit (site TEXT NOT NULL REFERENCES site (name));"};

Database OpenOrFail(const fs::path& path, const Migrations& migrations) {
  auto database = Database::Open(path, migrations);
  INFO(database.status().ToString());
  REQUIRE(database.ok());
  return std::move(database).value();
}

std::int64_t Count(Database& database, std::string_view table) {
  auto statement = database.Prepare(StrCat("SELECT count(*) FROM ", table));
  REQUIRE(statement.ok());
  auto row = statement->Step();
  REQUIRE(row.ok());
  REQUIRE(*row);
  return statement->Int(0);
}

TEST_CASE("a new database has mode 0600 and the version of its migrations") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kSecond);
  struct stat info {};
  REQUIRE(stat((folder / "a.db").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  auto version = database.Prepare("PRAGMA user_version");
  REQUIRE(version.ok());
  REQUIRE(version->Step().value());
  CHECK(version->Int(0) == 2);
}

TEST_CASE("a database is opened with a rollback journal, synchronous EXTRA and foreign keys") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kSecond);
  const auto pragma = [&](std::string_view name) {
    auto statement = database.Prepare(StrCat("PRAGMA ", name));
    REQUIRE(statement.ok());
    REQUIRE(statement->Step().value());
    return statement->Text(0);
  };
  CHECK(pragma("journal_mode") == "delete");
  CHECK(pragma("synchronous") == "3");
  CHECK(pragma("foreign_keys") == "1");
  CHECK(pragma("busy_timeout") == "10000");
  CHECK(database.Execute("INSERT INTO visit VALUES (?)", "nowhere").code() ==
        absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("an older database is brought forward and keeps its rows") {
  TemporaryFolder folder;
  {
    Database old = OpenOrFail(folder / "a.db", kFirst);
    REQUIRE(old.Execute("INSERT INTO site VALUES (?, ?)", "north", 12).ok());
  }
  Database database = OpenOrFail(folder / "a.db", kSecond);
  CHECK(Count(database, "site") == 1);
  CHECK(database.Execute("UPDATE site SET city = ?", "Bergen").ok());
}

TEST_CASE("a newer database is refused with the advice to upgrade") {
  TemporaryFolder folder;
  { Database newer = OpenOrFail(folder / "a.db", kSecond); }
  const auto opened = Database::Open(folder / "a.db", kFirst);
  CHECK(opened.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(opened.status(), "has version 2, this program knows versions up to 1"));
  CHECK(Says(opened.status(), "upgrade this program"));
  Database newer = OpenOrFail(folder / "a.db", kSecond);  // the refusal has changed nothing
  CHECK(Count(newer, "visit") == 0);
}

TEST_CASE("a database of any older version is brought to the newest, a step at a time") {
  const Migrations all = {kSecond[0], kSecond[1], "UPDATE site SET city = 'unknown';"};
  for (std::size_t from = 1; from <= all.size(); ++from) {
    CAPTURE(from);
    TemporaryFolder folder;
    {
      Database old = OpenOrFail(folder / "a.db", {all.begin(), all.begin() + from});
      REQUIRE(old.Execute("INSERT INTO site (name, patients) VALUES (?, ?)", "north", 12).ok());
    }
    Database database = OpenOrFail(folder / "a.db", all);
    auto row = database.Prepare("SELECT patients, city FROM site");
    REQUIRE(row.ok());
    REQUIRE(row->Step().value());
    CHECK(row->Int(0) == 12);
    CHECK(row->IsNull(1) == (from == 3));  // written after the last step: no step came again
  }
}

TEST_CASE("a migration step that fails leaves the version before it") {
  TemporaryFolder folder;
  const Migrations broken = {kFirst[0], "CREATE TABLE extra (x); INSERT INTO nothing VALUES (1);"};
  CHECK_FALSE(Database::Open(folder / "a.db", broken).ok());
  Database database = OpenOrFail(folder / "a.db", kFirst);
  CHECK(Count(database, "site") == 0);
  CHECK_FALSE(database.Prepare("SELECT * FROM extra").ok());
}

TEST_CASE("every kind of value comes back as it was bound") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", {"CREATE TABLE v (a, b, c, d, e, f, g);"});
  enum class Stage { kCandidate, kPublished };
  const Bytes blob = {0, 1, 255};
  const std::string text("with\0nul", 8);
  REQUIRE(database
              .Execute("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)",
                       std::numeric_limits<std::int64_t>::min(), 0.1, text, blob, true,
                       std::optional<std::int64_t>(), Stage::kPublished)
              .ok());
  auto read = database.Prepare("SELECT a, b, c, d, e, f, g FROM v");
  REQUIRE(read.ok());
  REQUIRE(read->Step().value());
  CHECK(read->Int(0) == std::numeric_limits<std::int64_t>::min());
  CHECK(read->Real(1) == 0.1);
  CHECK(read->Text(2) == text);
  CHECK(read->Blob(3) == blob);
  CHECK(read->Int(4) == 1);
  CHECK(read->IsNull(5));
  CHECK(read->Int(6) == 1);
  CHECK_FALSE(read->Step().value());
  CHECK_FALSE(read->Step().value());  // stays at the end
}

TEST_CASE("an empty text and an empty blob are not NULL") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", {"CREATE TABLE v (a, b, c);"});
  REQUIRE(database.Execute("INSERT INTO v VALUES (?, ?, ?)", std::string_view(), Bytes(), nullptr)
              .ok());
  auto read = database.Prepare("SELECT a, b, c FROM v");
  REQUIRE(read.ok());
  REQUIRE(read->Step().value());
  CHECK_FALSE(read->IsNull(0));
  CHECK_FALSE(read->IsNull(1));
  CHECK(read->IsNull(2));
}

TEST_CASE("a statement is used again by binding again") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  auto insert = database.Prepare("INSERT INTO site VALUES (?, ?)");
  REQUIRE(insert.ok());
  for (int i = 0; i < 5; ++i) REQUIRE(insert->Bind(StrCat("site-", i), i).Run().ok());
  CHECK(Count(database, "site") == 5);
  CHECK(database.LastInsertId() == 5);
}

TEST_CASE("the wrong number of values is an error, not NULLs") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  CHECK_FALSE(database.Execute("INSERT INTO site VALUES (?, ?)", "north").ok());
  CHECK_FALSE(database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1, 2).ok());
  CHECK(Count(database, "site") == 0);
}

TEST_CASE("text that is not exactly one SQL statement is refused") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  CHECK_FALSE(database.Prepare("").ok());
  CHECK_FALSE(database.Prepare("SELEKT 1").ok());
  CHECK_FALSE(database.Prepare("SELECT 1; DROP TABLE site").ok());
  CHECK(database.Prepare("SELECT 1; ").ok());
}

TEST_CASE("a key that is there already is kAlreadyExists and its value stays out of the message") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  REQUIRE(database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1).ok());
  const absl::Status again = database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1);
  CHECK(again.code() == absl::StatusCode::kAlreadyExists);
  CHECK(Says(again, "site.name"));
  CHECK(ToStd(again.message()).find("north") == std::string_view::npos);
}

TEST_CASE("a transaction whose body fails leaves nothing and returns the body's error") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  const absl::Status status = database.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1));
    return absl::CancelledError("changed my mind");
  });
  CHECK(status.code() == absl::StatusCode::kCancelled);
  CHECK(Count(database, "site") == 0);
  CHECK(
      database
          .Transact([&] { return database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1); })
          .ok());
  CHECK(Count(database, "site") == 1);
}

TEST_CASE("a transaction whose body throws is rolled back too") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", kFirst);
  CHECK_THROWS(database.Transact([&]() -> absl::Status {
    REQUIRE(database.Execute("INSERT INTO site VALUES (?, ?)", "north", 1).ok());
    throw std::runtime_error("out of luck");
  }));
  CHECK(Count(database, "site") == 0);
  CHECK(database.Transact([] { return absl::OkStatus(); }).ok());
}

TEST_CASE("a database may move while its statements live") {
  TemporaryFolder folder;
  Database first = OpenOrFail(folder / "a.db", kFirst);
  auto insert = first.Prepare("INSERT INTO site VALUES (?, ?)");
  REQUIRE(insert.ok());
  Database second = std::move(first);
  CHECK(insert->Bind("north", 1).Run().ok());
  CHECK(Count(second, "site") == 1);
}

TEST_CASE("a file that is no database is refused as damaged") {
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "a.db", std::string(5000, 'x')).ok());
  const auto opened = Database::Open(folder / "a.db", kFirst);
  CHECK(opened.status().code() == absl::StatusCode::kDataLoss);
  CHECK(Says(opened.status(), "restore it from a backup"));
}

TEST_CASE("a database that was cut short or overwritten is refused as damaged") {
  TemporaryFolder folder;
  const fs::path path = folder / "a.db";
  {
    Database database = OpenOrFail(path, kFirst);
    REQUIRE(database
                .Transact([&]() -> absl::Status {
                  for (int i = 0; i < 2000; ++i) {
                    RETURN_IF_ERROR(
                        database.Execute("INSERT INTO site VALUES (?, ?)", StrCat("site-", i), i));
                  }
                  return absl::OkStatus();
                })
                .ok());
  }
  const auto size = fs::file_size(path);
  REQUIRE(size > 20'000);
  SECTION("cut short") { fs::resize_file(path, size / 2); }
  SECTION("a page of zeros in the middle") {
    auto file = File::OpenForWriting(path, /*truncate=*/false);
    REQUIRE(file.ok());
    REQUIRE(file->WriteAt(3 * 4096, Bytes(4096)).ok());
  }
  CHECK(Database::Open(path, kFirst).status().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("a database in a folder that is not there says to make the folder") {
  TemporaryFolder folder;
  const auto opened = Database::Open(folder.path() / "none" / "a.db", kFirst);
  CHECK(opened.status().code() == absl::StatusCode::kNotFound);
  CHECK(Says(opened.status(), "make its folder first"));
}

TEST_CASE("a database that may not grow reports kResourceExhausted and keeps what was committed") {
  TemporaryFolder folder;
  Database database = OpenOrFail(folder / "a.db", {"CREATE TABLE v (a BLOB);"});
  REQUIRE(database.Execute("INSERT INTO v VALUES (?)", Bytes(100)).ok());
  REQUIRE(database.Execute("PRAGMA max_page_count = 10").ok());
  const absl::Status full = database.Transact([&]() -> absl::Status {
    for (int i = 0; i < 100; ++i) {
      RETURN_IF_ERROR(database.Execute("INSERT INTO v VALUES (?)", Bytes(4096)));
    }
    return absl::OkStatus();
  });
  CHECK(full.code() == absl::StatusCode::kResourceExhausted);
  CHECK(Says(full, "free some disk space"));
  CHECK(Count(database, "v") == 1);
  CHECK(database.Execute("INSERT INTO v VALUES (?)", Bytes(10)).ok());
}

}  // namespace
}  // namespace consilium::storage
