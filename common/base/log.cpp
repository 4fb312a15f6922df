#include "common/base/log.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/escaping.h"
#include "common/base/clock.h"

namespace consilium {
namespace {

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

}  // namespace

void SetLogLevel(LogLevel level) { minimum_level = level; }

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < minimum_level.load()) return;
  std::string line = StrCat("time=", ToRfc3339(SystemClock().Now()), " level=", LevelName(level),
                                  " event=", event);
  for (const LogField& field : fields) {
    const bool plain = !field.value.empty() && field.value.find_first_of(" \"=\n\r\t\\") == std::string::npos;
    StrAppend(&line, " ", field.key, "=");
    if (plain) {
      line += field.value;
    } else {
      StrAppend(&line, "\"", absl::CHexEscape(field.value), "\"");
    }
  }
  line += '\n';
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace consilium
