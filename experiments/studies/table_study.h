#pragma once

// What the studies of tables share: rows of a public set become one folder a site with a table in
// it, split into training, validation and test.

#include <optional>
#include <string>
#include <vector>

#include "datasets/csv.h"
#include "experiments/studies/study.h"

namespace consilium::experiments {

struct StudyRow {
  std::string site;
  std::string patient;  // of the site
  int stratum = 0;      // splits keep its share: the class, whether the event happened
  bool test = false;    // by the set's own split, or the study's
  std::vector<std::string> cells;
};
struct StudyTable {
  std::vector<std::string> columns;
  std::vector<StudyRow> rows;
};

// A CSV file with a header; the error names the file.
absl::StatusOr<datasets::CsvTable> ReadCsvFile(const fs::path& file);
// The column's place in the table; kInvalidArgument naming file and column.
absl::StatusOr<std::size_t> RequiredColumn(const datasets::CsvTable& table,
                                           const std::string& column, const fs::path& file);

// Writes OUT/SITE/TABLE.csv for every site.
//
// Without a `test` table each row of `data` is tested on or not as it says. With one, all of `data`
// is trained on, and what is in `test` is tested on: a site that is in both tests on its own rows,
// a site that is only in `test` did not train. Sites named in input.held_out test on all their rows
// and do not train, nor do sites that cannot: too few patients for the plan, no event, or one class
// where the plan weights classes; a note says so. Of the patients to train on, the plan's
// validation_fraction becomes the validation split, by input.seed, strata kept.
absl::StatusOr<PreparedStudy> WriteTables(const StudyInput& input, const plan::Plan& plan,
                                          StudyTable data, std::optional<StudyTable> test,
                                          const fs::path& out);

}  // namespace consilium::experiments
