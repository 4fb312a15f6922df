#pragma once

#include "datasets/dicom/data_set.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::targets {

// The first item of a code sequence; an empty code when there is none.
Code ReadCode(const dicom::DataSet& data_set, std::uint32_t sequence);

// Opens a file of at most kMaxTargetBytes.
OrRefused<dicom::DataSet> OpenTarget(const fs::path& path);
OrRefused<dicom::DataSet> OpenTarget(File file);

// Sorted, without empty ones.
void KeepEachOnce(std::vector<std::string>& uids);

}  // namespace consilium::datasets::targets
