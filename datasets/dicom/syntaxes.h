#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "datasets/dicom/header.h"

namespace consilium::datasets::dicom {

std::optional<TransferSyntax> SyntaxOf(std::string_view uid);
std::optional<Photometric> PhotometricOf(std::string_view name);
// What to call a syntax that cannot be read: never an arbitrary text of the file.
std::string DescribeUnsupported(std::string_view uid);

}  // namespace consilium::datasets::dicom
