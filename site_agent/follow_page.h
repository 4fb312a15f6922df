#pragma once

// What consilium-site follow shows of a patient's lesions over time: as tables for a terminal, as
// JSON, and as a page. None of them names the patient, a date or an instance: days count from the
// first time point on.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/report/document.h"
#include "datasets/followup/follow.h"

namespace consilium::site_agent {

struct FollowedPatient {
  std::uint32_t number = 1;  // in the order of the patients' IDs
  std::optional<datasets::followup::FollowUp> follow_up;
  std::string why_not;  // it was not followed
  std::string folder;   // in OUT; empty: nothing was written
};

// "28.4 x 27.9 mm, 11.6 ml", "vanished", "in lesion 2", "-".
std::string LesionInWords(const datasets::followup::FollowUp& follow_up, std::size_t track,
                          std::size_t time_point);

std::string InWords(const FollowedPatient& patient);

// A JSON object.
std::string ToJsonText(const FollowedPatient& patient);

// One page of all patients that were followed.
report::Document PageOf(const std::vector<FollowedPatient>& patients);

}  // namespace consilium::site_agent
