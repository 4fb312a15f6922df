#pragma once

namespace consilium::datasets {

// A time of survival in a table or in labels that is longer is refused: it is not in days.
inline constexpr double kLongestDays = 36525;  // a hundred years

}  // namespace consilium::datasets
