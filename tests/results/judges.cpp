#include "tests/results/judges.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "common/base/text.h"
#include "tests/catch.h"

namespace consilium::datasets::results {

ProgramOutput RunProgram(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) StrAppend(&line, "'", word, "' ");
  StrAppend(&line, "2>&1");
  ProgramOutput output;
  std::FILE* pipe = popen(line.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) {
    output.text.append(buffer, count);
  }
  const int status = pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

bool HasProgram(const std::string& program) {
  const bool has = RunProgram({"sh", "-c", StrCat("command -v ", program)}).exit_code == 0;
  if (!has) WARN(program << " is not installed: what it would judge was not judged");
  return has;
}

bool HasPydicom() {
  const bool has = RunProgram({"/usr/bin/python3", "-c", "import pydicom, numpy"}).exit_code == 0;
  if (!has) WARN("python3-pydicom is not installed: what it would read was not read");
  return has;
}

void CheckWithDciodvfy(const fs::path& object) {
  if (!HasProgram("dciodvfy")) return;
  const ProgramOutput output = RunProgram({"dciodvfy", object.string()});
  INFO(object.filename().string() << "\n" << output.text);
  CHECK(output.text.find("Error - ") == std::string::npos);
  CHECK(output.exit_code == 0);
}

std::string DumpReport(const fs::path& report) {
  const ProgramOutput output = RunProgram({"dsrdump", "+Pl", "+Pc", report.string()});
  INFO(output.text);
  CHECK(output.exit_code == 0);
  CHECK(output.text.find("E: ") == std::string::npos);
  return output.text;
}

void CheckWithPydicom(const std::vector<std::string>& arguments) {
  if (!HasPydicom()) return;
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  std::vector<std::string> words = {"/usr/bin/python3",
                                    StrCat(source, "/tests/results/check_results.py")};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const ProgramOutput output = RunProgram(words);
  INFO(output.text);
  CHECK(output.exit_code == 0);
}

}  // namespace consilium::datasets::results
