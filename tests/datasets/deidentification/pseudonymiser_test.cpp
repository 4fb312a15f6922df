#include "datasets/deidentification/pseudonymiser.h"

#include "datasets/deidentification/dates.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::deidentification {
namespace {

crypto::Secret Key(std::uint8_t fill) { return crypto::Secret::CopyOf(Bytes(32, fill)); }

Pseudonymiser Site(std::uint8_t fill = 7) {
  auto pseudonymiser = Pseudonymiser::Create(Key(fill));
  REQUIRE(pseudonymiser.ok());
  return std::move(*pseudonymiser);
}

TEST_CASE("a patient has one pseudonym at a site, and another at another site") {
  const Pseudonymiser site = Site();
  const std::string pseudonym = site.PatientPseudonym("PAT-0815");
  CHECK(pseudonym.size() == 18);
  CHECK(pseudonym.substr(0, 2) == "P-");
  CHECK(site.PatientPseudonym("PAT-0815 ") == pseudonym);
  CHECK(site.PatientPseudonym(std::string_view("PAT-0815\0", 9)) == pseudonym);
  CHECK(site.PatientPseudonym("PAT-0816") != pseudonym);
  CHECK(Site(8).PatientPseudonym("PAT-0815") != pseudonym);
  CHECK(site.KeyName() == Site().KeyName());
  CHECK(site.KeyName() != Site(8).KeyName());
}

TEST_CASE("the pseudonym is HMAC-SHA-256 of the purpose and the patient") {
  // python3: hmac.new(bytes([7]) * 32, b"patient|PAT-0815", "sha256"), base32 of the first 10
  // bytes.
  CHECK(Site().PatientPseudonym("PAT-0815") == "P-XKP64D6SGCRFTGPA");
  CHECK(Site().MappedUid("1.2.3") == "2.25.91423869453350570968224790851923491332");
}

TEST_CASE("a mapped UID is a UUID's, within 64 characters, and registered UIDs stay") {
  const Pseudonymiser site = Site();
  for (const char* uid : {"1.2.3", "1.2.840.113619.2.55.3", "2.25.1"}) {
    const std::string mapped = site.MappedUid(uid);
    CHECK(mapped.substr(0, 5) == "2.25.");
    CHECK(mapped.size() <= 44);
    CHECK(mapped[5] != '0');
    CHECK(mapped.find_first_not_of("0123456789.") == std::string::npos);
  }
  CHECK(site.MappedUid("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1");
  CHECK(site.MappedUid("").empty());
}

TEST_CASE("all dates of a patient move by the same days, another patient's by others") {
  const Pseudonymiser site = Site();
  const int days = site.DateShiftDays("A");
  CHECK(days <= -366);
  CHECK(days >= -366 * 11);
  CHECK(site.ShiftedDate("A", "20240229") == ShiftDate("20240229", days));
  CHECK(site.DateShiftDays("B") != days);
  CHECK(site.DateShiftDays("A ") == days);
}

TEST_CASE("a date is moved through months, years and leap days") {
  CHECK(ShiftDate("20240228", 1) == "20240229");
  CHECK(ShiftDate("20230228", 1) == "20230301");
  CHECK(ShiftDate("20240101", -1) == "20231231");
  CHECK(ShiftDate("2024.01.01", -1) == "20231231");
  CHECK(ShiftDate("20240101-20240103", 2) == "20240103-20240105");
  CHECK(ShiftDate("20240101-", 2) == "20240103-");
  for (const char* bad : {"", "2024", "20240230", "20241301", "yesterday", "2024010x", "-"}) {
    CHECK(ShiftDate(bad, 1) == "");
  }
}

TEST_CASE("a date and time keeps its time, its fraction and its offset") {
  CHECK(ShiftDateTime("20240228235959.123456+0100", 2) == "20240301235959.123456+0100");
  CHECK(ShiftDateTime("2024022812", 1) == "2024022912");
  CHECK(ShiftDateTime("20240228-0500", 1) == "20240229-0500");
  CHECK(ShiftDateTime("202402", -31) == "202401");
  CHECK(ShiftDateTime("2024", -1) == "2023");
  for (const char* bad : {"", "20", "20240228250000", "20240228+01", "202402281", "name"}) {
    CHECK(ShiftDateTime(bad, 1) == "");
  }
}

TEST_CASE("times are told from what is none") {
  for (const char* time : {"10", "1030", "103059", "103059.1", "103060.123456", "10:30:59"}) {
    CHECK(IsTime(time));
  }
  for (const char* bad : {"", "1", "24", "1060", "10305", "1030.5", "103059.1234567", "noon"}) {
    CHECK(!IsTime(bad));
  }
}

TEST_CASE("an age is computed from birth, and one above 89 years becomes 90") {
  CHECK(AgeBetween("19500615", "20240614") == "073Y");
  CHECK(AgeBetween("19500615", "20240615") == "074Y");
  CHECK(AgeBetween("20240101", "20240301") == "002M");
  CHECK(AgeBetween("20240101", "20240115") == "014D");
  CHECK(AgeBetween("20240101", "20230101") == "");
  CHECK(AgeBetween("", "20230101") == "");
  CHECK(CapAge("089Y") == "089Y");
  CHECK(CapAge("090Y") == "090Y");
  CHECK(CapAge("103Y") == "090Y");
  CHECK(CapAge("100M") == "100M");
  CHECK(CapAge("999M") == "999M");
  CHECK(CapAge("Smith") == "");
}

TEST_CASE("a site's key is made once, of mode 0600, and others' eyes are refused") {
  const TemporaryFolder folder;
  const fs::path path = folder / "state/pseudonym.key";
  bool made = false;
  const auto first = LoadOrMakeSiteKey(path, &made);
  REQUIRE(first.ok());
  CHECK(made);
  const auto again = LoadOrMakeSiteKey(path, &made);
  REQUIRE(again.ok());
  CHECK(!made);
  CHECK(again->Equals(first->Reveal()));
  fs::permissions(path, fs::perms::group_read, fs::perm_options::add);
  CHECK(LoadSiteKey(path).status().code() == absl::StatusCode::kPermissionDenied);
  CHECK(LoadSiteKey(folder / "none").status().code() == absl::StatusCode::kNotFound);
  CHECK(!Pseudonymiser::Create(crypto::Secret(16)).ok());
}

}  // namespace
}  // namespace consilium::datasets::deidentification
