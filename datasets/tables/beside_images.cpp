// Images with each patient's row of a table.

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "common/base/status.h"
#include "datasets/tables/rows.h"

namespace consilium::datasets::tables {

PatientRows::PatientRows(const TableData& data) : table_(data.table()), rows_(data.AllExamples()) {
  for (std::size_t row = 0; row < rows_->size(); ++row) {
    row_of_.emplace(rows_->GetLabel(row).patient, row);
  }
}

bool PatientRows::Fill(std::uint64_t patient, std::span<float> out) const {
  const auto row = row_of_.find(patient);
  if (row != row_of_.end()) {
    rows_->Get(row->second, out);
    return true;
  }
  const std::size_t numbers = table_.Numbers();
  std::ranges::fill(out, 0.0f);
  std::ranges::fill(out.first(numbers), std::numeric_limits<float>::quiet_NaN());
  if (table_.missing_indicators) std::ranges::fill(out.last(numbers), 1.0f);
  return false;
}

class TableData::ImagesWithRows final : public Dataset {
 public:
  ImagesWithRows(std::shared_ptr<const Dataset> images, const TableData& table)
      : images_(std::move(images)), columns_(table.table().Inputs()), rows_(table) {}

  std::size_t size() const override { return images_->size(); }
  std::uint32_t image_size() const override { return images_->image_size(); }
  InputShape input_shape() const override {
    InputShape shape = images_->input_shape();
    shape.columns = columns_;
    return shape;
  }
  Label Get(std::size_t index, std::span<float> out) const override {
    const std::size_t values = images_->input_shape().ImageElements();
    const Label label = images_->Get(index, out.first(values));
    rows_.Fill(label.patient, out.subspan(values));
    return label;
  }
  Label GetLabel(std::size_t index) const override { return images_->GetLabel(index); }
  std::size_t target_elements() const override { return images_->target_elements(); }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    images_->GetTarget(index, out);
  }
  bool IsPositive(std::size_t index) const override { return images_->IsPositive(index); }
  float spacing_mm(std::size_t index) const override { return images_->spacing_mm(index); }

 private:
  const std::shared_ptr<const Dataset> images_;
  const std::uint32_t columns_;
  const PatientRows rows_;
};

std::shared_ptr<const Dataset> TableData::Beside(std::shared_ptr<const Dataset> images) const {
  return std::make_shared<ImagesWithRows>(std::move(images), *this);
}

metrics::PreparationSums TableData::PreparationOf(const Dataset& images) const {
  std::set<std::uint64_t> patients;
  for (std::size_t i = 0; i < images.size(); ++i) patients.insert(images.GetLabel(i).patient);
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < rows_->size(); ++row) {
    if (patients.contains(rows_->labels[row].patient)) rows.push_back(row);
  }
  metrics::PreparationSums sums = SumsOf(rows);
  for (metrics::ColumnSums& column : sums.columns) column.missing += patients.size() - rows.size();
  sums.examples = sums.patients = patients.size();
  return sums;
}

}  // namespace consilium::datasets::tables
