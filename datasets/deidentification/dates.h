#pragma once

// Dates as DICOM writes them (PS3.5 section 6.2: DA, DT, AS). Pure; thread-safe.

#include <string>
#include <string_view>

namespace consilium::datasets::deidentification {

// A DA ("20240229", or "2024.02.29" of before 1993) or a range of two ("20240101-20240131"), each
// `days` later. Empty when it is no date.
std::string ShiftDate(std::string_view date, int days);

// A DT, `days` later; its time, fraction and offset from UTC stay. Of one that knows no day, only
// what it knows is shifted ("2024" of 15 May 2023 and 400 days stays a year). Empty when it is no
// date and time.
std::string ShiftDateTime(std::string_view date_time, int days);

// "HHMMSS.FFFFFF" in any of its precisions.
bool IsTime(std::string_view time);

// An AS: "034Y" between two DA; months below two years, days below a month. Empty when one of the
// two is no date or the second is before the first.
std::string AgeBetween(std::string_view birth, std::string_view then);

// An AS of more than 89 years as "090Y"; others as they are; empty when it is no AS.
std::string CapAge(std::string_view age);

}  // namespace consilium::datasets::deidentification
