#pragma once

// Other people's programs, which say whether what we wrote is what the standard says.

#include <string>
#include <vector>

#include "common/base/file.h"

namespace consilium::datasets::results {

struct ProgramOutput {
  int exit_code = -1;
  std::string text;  // standard output and error
};
ProgramOutput RunProgram(const std::vector<std::string>& words);

// False, with a warning, when the program is not installed.
bool HasProgram(const std::string& program);
bool HasPydicom();

// Checks that dciodvfy finds no error in the object.
void CheckWithDciodvfy(const fs::path& object);
// Checks that dsrdump reads the report, and returns what it printed.
std::string DumpReport(const fs::path& report);
// Runs check_results.py of this folder: its exit status must be 0.
void CheckWithPydicom(const std::vector<std::string>& arguments);

}  // namespace consilium::datasets::results
