#pragma once

// Looks for planted identifiers in all that was written and sent: in every byte of every file of a
// folder tree (free pages of databases included), in the names of the files, and in texts, whatever
// the form: as they are in any case of letters, as UTF-16, percent-encoded, in hexadecimal, in
// base64 at each of its three alignments.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"

namespace consilium::identifiers {

// Every planted text begins so, and goes on with the place where it was planted.
inline constexpr std::string_view kMark = "ZQXVJK";
// Planted where texts cannot stand.
inline constexpr std::string_view kBirthDate = "19470313";
inline constexpr std::string_view kStudyDate = "19981107";
inline constexpr std::string_view kTelephone = "5550194773";
inline constexpr std::string_view kUidRoot = "1.2.276.0.4711.9090";

struct Finding {
  std::string file;  // below the scanned folder
  std::string form;  // "text", "UTF-16LE", "base64" ...
  std::string what;  // from the identifier on, for texts
};

// One place: a line of the table.
struct PlaceScan {
  std::string place;
  std::uint64_t files = 0, bytes = 0;
  std::vector<Finding> findings;
};

// `name` is for the findings only.
std::vector<Finding> FindIdentifiers(std::string_view bytes, const std::string& name);
// A file, or all files of a folder tree and their names. A place that is not there fails the test:
// what was not written was not scanned.
PlaceScan ScanFiles(const std::string& place, const fs::path& path);
// What is in memory.
PlaceScan ScanText(const std::string& place, std::string_view text);

// place | files | bytes scanned | found; and each finding.
std::string ToTable(const std::vector<PlaceScan>& scans);

}  // namespace consilium::identifiers
