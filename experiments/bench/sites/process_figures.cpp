#include "experiments/bench/sites/process_figures.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "common/base/file.h"
#include "common/base/status.h"

namespace consilium::experiments {
namespace {

// "VmRSS:     1234 kB"
std::uint64_t Field(const std::string& status, const std::string& name) {
  const std::size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return 0;
  return std::strtoull(status.c_str() + at + name.size() + 2, nullptr, 10);
}

absl::StatusOr<std::string> Read(const fs::path& file) {
  // Files of /proc say that they are empty.
  std::FILE* stream = std::fopen(file.c_str(), "r");
  if (stream == nullptr) return absl::NotFoundError("no such process");
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), stream));
  std::fclose(stream);
  return text;
}

}  // namespace

absl::StatusOr<ProcessFigures> FiguresOf(pid_t process) {
  const fs::path folder = fs::path("/proc") / StrCat(process);
  ASSIGN_OR_RETURN(const std::string status, Read(folder / "status"));
  ASSIGN_OR_RETURN(const std::string stat, Read(folder / "stat"));
  ProcessFigures figures;
  figures.resident = Field(status, "VmRSS") << 10;
  figures.peak = Field(status, "VmHWM") << 10;
  figures.threads = static_cast<int>(Field(status, "Threads"));
  std::error_code failed;
  for (fs::directory_iterator file(folder / "fd", failed), end; !failed && file != end;
       file.increment(failed)) {
    ++figures.files;
  }
  // After the name, which is in brackets and may hold spaces: state is field 3, utime 14, stime 15.
  const char* at = stat.c_str() + stat.rfind(')') + 1;
  double ticks = 0;
  for (int field = 3; field <= 15 && *at != '\0'; ++field) {
    while (*at == ' ') ++at;
    if (field >= 14) ticks += std::strtod(at, nullptr);
    while (*at != ' ' && *at != '\0') ++at;
  }
  figures.cpu_s = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  return figures;
}

double Slope(const double* x, const double* y, std::size_t count) {
  if (count < 2) return 0;
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  for (std::size_t i = 0; i < count; ++i) {
    mean_x += x[i] / static_cast<double>(count);
    mean_y += y[i] / static_cast<double>(count);
  }
  for (std::size_t i = 0; i < count; ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
  }
  return xx > 0 ? xy / xx : 0;
}

}  // namespace consilium::experiments
