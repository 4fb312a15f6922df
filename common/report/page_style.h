#pragma once

namespace consilium::report {

// The report's style sheet: light and dark by the reader's system, and for print.
extern const char kPageStyle[];

}  // namespace consilium::report
