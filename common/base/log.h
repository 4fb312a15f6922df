#pragma once

// One event a line, key=value (logfmt), to standard error. No patient's data, no UIDs, no paths of images.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/text.h"

namespace consilium {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines below this level are dropped; kInfo at the start. Thread-safe.
void SetLogLevel(LogLevel level);

struct LogField {
  std::string_view key;
  std::string value;
  template <class Value>
  LogField(std::string_view k, const Value& v) : key(k), value(StrCat(v)) {}
};

// Log(LogLevel::kInfo, "round_opened", {{"run", run.value}, {"round", 3}});  Thread-safe, one write(2) a line.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace consilium
