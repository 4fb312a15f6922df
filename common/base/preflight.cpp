#include "common/base/preflight.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text_table.h"

namespace consilium {
namespace {

constexpr Duration kClockTolerance = std::chrono::minutes(1);
constexpr std::string_view kWrappedKey = "consilium wrapped ";

// RFC 8259 section 7.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += absl::StrFormat("\\u%04x", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string ReadableSize(std::uint64_t bytes) {
  const double gib = static_cast<double>(bytes) / (1 << 30);
  return gib >= 1 ? absl::StrFormat("%.1f GiB", gib)
                  : absl::StrFormat("%.0f MiB", static_cast<double>(bytes) / (1 << 20));
}

// Names joined with ", ".
void Join(std::string* list, const std::string& name) {
  StrAppend(list, list->empty() ? "" : ", ", name);
}

Time WrittenAt(const struct stat& file) {
  return Time(std::chrono::seconds(file.st_mtim.tv_sec) +
              std::chrono::microseconds(file.st_mtim.tv_nsec / 1000));
}

}  // namespace

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warn";
    case Verdict::kFailed:
      return "fail";
  }
  return "";
}

void Preflight::Ok(std::string check, std::string finding) {
  findings_.push_back({std::move(check), Verdict::kOk, std::move(finding), ""});
}

void Preflight::Warn(std::string check, std::string finding, std::string remedy) {
  findings_.push_back({std::move(check), Verdict::kWarning, std::move(finding), std::move(remedy)});
}

void Preflight::Fail(std::string check, std::string finding, std::string remedy) {
  findings_.push_back({std::move(check), Verdict::kFailed, std::move(finding), std::move(remedy)});
}

void Preflight::FailOn(std::string check, const absl::Status& status, std::string remedy) {
  Fail(std::move(check), std::string(status.message()), std::move(remedy));
}

std::string Preflight::ToTable() const {
  TextTable table({"", "check", "finding", "remedy"});
  for (const Finding& finding : findings_) {
    table.AddRow(
        {std::string(Name(finding.verdict)), finding.check, finding.finding, finding.remedy});
  }
  return table.ToString();
}

std::string Preflight::ToJson() const {
  std::string checks;
  for (const Finding& finding : findings_) {
    StrAppend(&checks, checks.empty() ? "" : ", ", "{\"check\": ", Quoted(finding.check),
              ", \"verdict\": \"", Name(finding.verdict),
              "\", \"finding\": ", Quoted(finding.finding),
              ", \"remedy\": ", Quoted(finding.remedy), "}");
  }
  return StrCat("{\"passed\": ", Outcome().ok() ? "true" : "false", ", \"checks\": [", checks,
                "]}\n");
}

absl::Status Preflight::Outcome() const {
  const auto failed = std::count_if(findings_.begin(), findings_.end(), [](const Finding& finding) {
    return finding.verdict == Verdict::kFailed;
  });
  if (failed == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(failed, " of ", findings_.size(),

             " checks failed: do what stands beside, then check again"));
}

void CheckDiskSpace(const fs::path& folder, std::uint64_t needed_bytes, Preflight& preflight) {
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0) {
    preflight.Fail("disk", "the state folder's disk cannot be asked for its free space",
                   "see that the folder exists and that this user may enter it");
    return;
  }
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  const std::string found = StrCat(ReadableSize(free), " free");
  const std::string wanted = StrCat("have ", ReadableSize(2 * needed_bytes), " free");
  if (free < needed_bytes) {
    preflight.Fail("disk", found, wanted);
  } else if (free < 2 * needed_bytes) {
    preflight.Warn("disk", found, wanted);
  } else {
    preflight.Ok("disk", found);
  }
}

void CheckOpenFiles(std::uint64_t needed, Preflight& preflight) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    preflight.Warn("open files", "the limit cannot be read", "see `ulimit -n`");
    return;
  }
  const std::string found = limit.rlim_cur == RLIM_INFINITY
                                ? std::string("no limit")
                                : StrCat("at most ", limit.rlim_cur, " open files");
  if (limit.rlim_cur < needed) {
    preflight.Fail(
        "open files", found,
        StrCat("`ulimit -n ", needed, "`, or LimitNOFILE=", needed, " in the systemd unit"));
  } else {
    preflight.Ok("open files", found);
  }
}

void CheckClock(const fs::path& folder, Time now, Preflight& preflight) {
  Time newest{};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    struct stat file {};
    if (stat(entry.path().c_str(), &file) == 0) newest = std::max(newest, WrittenAt(file));
  }
  if (newest > now + kClockTolerance) {
    preflight.Fail(
        "clock",
        StrCat("it is ", ToRfc3339(now), " here, but files were written at ", ToRfc3339(newest)),
        "set the clock: `timedatectl set-ntp true`");
    return;
  }
  timex state{};
  if (adjtimex(&state) == TIME_ERROR) {
    preflight.Warn("clock", StrCat(ToRfc3339(now), ", not synchronised with a time server"),
                   "`timedatectl set-ntp true`; certificates and tokens go by the clock");
    return;
  }
  preflight.Ok("clock", StrCat(ToRfc3339(now), ", synchronised"));
}

void CheckKeyFiles(const fs::path& folder, const std::vector<std::string>& names,
                   Preflight& preflight) {
  std::string missing, open, bare;
  for (const std::string& name : names) {
    struct stat file {};
    if (stat((folder / name).c_str(), &file) != 0 || !S_ISREG(file.st_mode)) {
      Join(&missing, name);
      continue;
    }
    if ((file.st_mode & 077) != 0) Join(&open, name);
    const auto text = ReadTextFile(folder / name, 1 << 20);
    if (text.ok() && !text->starts_with(kWrappedKey)) Join(&bare, name);
  }
  const std::string count = StrCat(names.size(), " private keys");
  if (!missing.empty()) {
    preflight.Fail("keys", StrCat("missing: ", missing), "restore keys/ from a backup");
  } else if (!open.empty()) {
    preflight.Fail("keys", StrCat("others may read ", open),
                   "`chmod 600` on them; if others did read them, revoke and enrol anew");
  } else if (!bare.empty()) {
    preflight.Warn("keys", StrCat(count, ", mode 0600, not wrapped: ", bare),
                   "whoever gets the disk has these keys; wrapped ones need a passphrase too");
  } else {
    preflight.Ok("keys", StrCat(count, ", mode 0600, wrapped with a passphrase"));
  }
}

}  // namespace consilium
