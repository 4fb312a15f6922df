#include "tests/identifiers/identifier_scan.h"

#include <algorithm>
#include <array>
#include <functional>

#include "common/base/text.h"
#include "common/base/text_table.h"
#include "tests/catch.h"

namespace consilium::identifiers {
namespace {

constexpr std::array<std::string_view, 5> kIdentifiers = {kMark, kBirthDate, kStudyDate, kTelephone,
                                                          kUidRoot};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string Wide(std::string_view text, bool little) {
  std::string wide;
  for (const char c : text) {
    if (!little) wide += '\0';
    wide += c;
    if (little) wide += '\0';
  }
  return wide;
}

std::string Hex(std::string_view text, std::string_view before_each) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    hex += before_each;
    hex += kDigits[static_cast<unsigned char>(c) >> 4];
    hex += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

// The characters that the text alone decides when `skipped` bytes stand before it.
std::string Base64Within(std::string_view text, std::size_t skipped) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string padded = std::string(skipped, '\0') + std::string(text);
  std::string base64;
  for (std::size_t i = (8 * skipped + 5) / 6; 6 * i + 6 <= 8 * padded.size(); ++i) {
    unsigned value = 0;
    for (std::size_t bit = 6 * i; bit < 6 * i + 6; ++bit) {
      const auto byte = static_cast<unsigned char>(padded[bit / 8]);
      value = value << 1 | (byte >> (7 - bit % 8) & 1u);
    }
    base64 += kAlphabet[value];
  }
  return base64;
}

struct Pattern {
  std::string form, bytes;
  bool any_case = true;  // looked for in the lower-case copy
};

std::vector<Pattern> MakePatterns() {
  std::vector<Pattern> patterns;
  for (const std::string_view identifier : kIdentifiers) {
    const std::string lower = Lower(identifier);
    patterns.push_back({"text", lower});
    patterns.push_back({"UTF-16LE", Wide(lower, true)});
    patterns.push_back({"UTF-16BE", Wide(lower, false)});
    for (const std::string& spelling : {lower, std::string(identifier)}) {
      patterns.push_back({"percent-encoded", Hex(spelling, "%")});
      patterns.push_back({"hexadecimal", Hex(spelling, "")});
    }
    for (const std::size_t skipped : {0, 1, 2}) {
      patterns.push_back({"base64", Base64Within(identifier, skipped), false});
    }
  }
  return patterns;
}

}  // namespace

std::vector<Finding> FindIdentifiers(std::string_view bytes, const std::string& name) {
  static const std::vector<Pattern> kPatterns = MakePatterns();
  constexpr std::size_t kShown = 40;
  const std::string lower = Lower(bytes);
  std::vector<Finding> findings;
  for (const Pattern& pattern : kPatterns) {
    const std::string_view where = pattern.any_case ? std::string_view(lower) : bytes;
    const std::size_t at = where.find(pattern.bytes);
    if (at == std::string_view::npos) continue;
    std::string what(bytes.substr(at, kShown));
    std::replace_if(
        what.begin(), what.end(), [](char c) { return c < ' ' || c > '~'; }, '.');
    findings.push_back({name, pattern.form, what});
  }
  return findings;
}

PlaceScan ScanText(const std::string& place, std::string_view text) {
  return {place, 1, text.size(), FindIdentifiers(text, "")};
}

PlaceScan ScanFiles(const std::string& place, const fs::path& path) {
  INFO(place);
  REQUIRE(fs::exists(path));
  PlaceScan scan{place, 0, 0, {}};
  const auto add = [&](std::vector<Finding> found) {
    scan.findings.insert(scan.findings.end(), found.begin(), found.end());
  };
  const auto scan_file = [&](const fs::path& file, const std::string& name) {
    const auto bytes = ReadFile(file);
    REQUIRE(bytes.ok());
    ++scan.files;
    scan.bytes += bytes->size();
    add(FindIdentifiers(AsText(*bytes), name));
  };
  if (fs::is_regular_file(path)) {
    scan_file(path, path.filename());
  } else {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      const std::string name = entry.path().lexically_relative(path);
      add(FindIdentifiers(name, "a file's name"));
      if (entry.is_regular_file()) scan_file(entry.path(), name);
    }
  }
  INFO("nothing is there to be scanned");
  REQUIRE(scan.bytes > 0);
  return scan;
}

std::string ToTable(const std::vector<PlaceScan>& scans) {
  TextTable table({"place", "files", "bytes scanned", "found"});
  std::string findings;
  for (const PlaceScan& scan : scans) {
    table.AddRow(
        {scan.place, StrCat(scan.files), StrCat(scan.bytes), StrCat(scan.findings.size())});
    constexpr std::size_t kMostShown = 10;
    for (std::size_t i = 0; i < std::min(kMostShown, scan.findings.size()); ++i) {
      const Finding& finding = scan.findings[i];
      StrAppend(&findings, scan.place, ": ", finding.file, ": ", finding.form, ": ", finding.what,
                "\n");
    }
  }
  return StrCat(table.ToString(), findings);
}

}  // namespace consilium::identifiers
