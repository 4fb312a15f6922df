#pragma once

#include "datasets/followup/follow.h"
#include "datasets/results/follow_up_writer.h"

namespace consilium::datasets::followup {

// How lesions were matched and measured, and what the figures are not: for reports and pages.
std::string MethodInWords(const FollowUp& follow_up);

// A follow-up as a report for the archive; time points that were not registered are left out.
results::FollowUpReport ReportOf(const FollowUp& follow_up);

}  // namespace consilium::datasets::followup
