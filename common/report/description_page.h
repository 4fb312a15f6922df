#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/metrics/shown_description.h"

namespace consilium::report {

// What images are (common/metrics/shown_description.h), as one HTML page that stands alone: nothing
// is fetched, no scripts. `heading` and `notes` are escaped.
std::string DescriptionPage(const metrics::ShownDescription& description, std::string_view heading,
                            const std::vector<std::string>& notes);

}  // namespace consilium::report
