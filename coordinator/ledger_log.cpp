// The audit log: a chain of entries, and the sites' signatures under its heads.

#include <limits>

#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

constexpr char kEntryColumns[] = "number, time, actor, action, subject, details";
constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

std::uint64_t AsColumn(std::uint64_t number) { return std::min(number, kLargest); }

wire::LogEntry EntryAt(const storage::Statement& row) {
  return {.number = static_cast<std::uint64_t>(row.Int(0)),
          .time = FromMicros(row.Int(1)),
          .actor = row.Text(2),
          .action = row.Text(3),
          .subject = row.Text(4),
          .details = row.Text(5)};
}

absl::StatusOr<std::vector<wire::LogEntry>> EntriesOf(storage::Statement& row) {
  std::vector<wire::LogEntry> entries;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return entries;
    entries.push_back(EntryAt(row));
  }
}

absl::Status Broken(std::uint64_t number, std::string_view why) {
  return absl::DataLossError(
      StrCat("the audit log is broken at entry ", number, ": ", why,
             "; it was changed after it was written. Keep the file as it is and compare it with "
             "the heads that the sites have signed"));
}

}  // namespace

// Of the caller's transaction: two processes may write to the log.
absl::Status Ledger::Impl::AppendLog(Time time, std::string_view actor, std::string_view action,
                                     std::string_view subject, std::string_view details) {
  ASSIGN_OR_RETURN(const LogHead last, Head());
  const wire::LogEntry entry{last.number + 1,      time,
                             std::string(actor),   std::string(action),
                             std::string(subject), std::string(details)};
  return db.Execute(
      StrCat("INSERT INTO log (", kEntryColumns, ", head) VALUES (?, ?, ?, ?, ?, ?, ?)"),
      entry.number, ToMicros(time), actor, action, subject, details,
      wire::ExtendedBy(last.head, entry).Hex());
}

absl::StatusOr<Ledger::LogHead> Ledger::Impl::Head() {
  ASSIGN_OR_RETURN(auto row,
                   db.Prepare("SELECT number, head FROM log ORDER BY number DESC LIMIT 1"));
  LogHead head;
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return head;
  head.number = static_cast<std::uint64_t>(row.Int(0));
  ASSIGN_OR_RETURN(head.head, DigestAt(row, 1));
  return head;
}

absl::Status Ledger::AddLogEntry(Time time, std::string_view actor, std::string_view action,
                                 std::string_view subject, std::string_view details) {
  return impl_->db.Transact(
      [&] { return impl_->AppendLog(time, actor, action, subject, details); });
}

absl::StatusOr<Ledger::LogHead> Ledger::Head() { return impl_->Head(); }

absl::StatusOr<std::vector<wire::LogEntry>> Ledger::LogEntries(std::uint64_t from,
                                                               std::size_t limit) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kEntryColumns,
                                                      " FROM log WHERE number >= ? "
                                                      "ORDER BY number LIMIT ?")));
  row.Bind(AsColumn(from), AsColumn(limit));
  return EntriesOf(row);
}

absl::StatusOr<std::vector<wire::LogEntry>> Ledger::LogEntriesAbout(std::string_view subject) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kEntryColumns,
                                                      " FROM log WHERE subject = ? "
                                                      "ORDER BY number")));
  row.Bind(subject);
  return EntriesOf(row);
}

absl::StatusOr<Digest> Ledger::HeadAfter(std::uint64_t number) {
  if (number == 0) return Digest{};
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT head FROM log WHERE number = ?"));
  row.Bind(AsColumn(number));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError(StrCat("the audit log has no entry ", number));
  return DigestAt(row, 0);
}

absl::Status Ledger::AddCountersignature(const Countersignature& signature) {
  const wire::LogSignature& signed_head = signature.signature;
  const absl::StatusOr<Digest> head = HeadAfter(signed_head.number);
  if (!head.ok() && !absl::IsNotFound(head.status())) return head.status();
  if (signed_head.number == 0 || !head.ok() || *head != signed_head.head) {
    return absl::FailedPreconditionError(
        StrCat("the audit log never had the head ", signed_head.head.Short(), " after entry ",
               signed_head.number, ", which ", signature.site.value, " has signed"));
  }
  return impl_->db.Execute(
      "INSERT INTO log_signatures (site, number, head, signature) VALUES (?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      signature.site.value, signed_head.number, signed_head.head.Hex(),
      ToHex(signed_head.signature));
}

absl::StatusOr<std::vector<Countersignature>> Ledger::Countersignatures(std::uint64_t up_to) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT site, max(number), head, signature FROM "
                                               "log_signatures WHERE number <= ? GROUP BY site"));
  row.Bind(AsColumn(up_to));
  std::vector<Countersignature> signatures;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return signatures;
    Countersignature& next = signatures.emplace_back();
    next.site = SiteId(row.Text(0));
    next.signature.number = static_cast<std::uint64_t>(row.Int(1));
    ASSIGN_OR_RETURN(next.signature.head, DigestAt(row, 2));
    ASSIGN_OR_RETURN(next.signature.signature, ArrayAt<64>(row, 3));
  }
}

absl::Status Ledger::VerifyLog() {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kEntryColumns,
                                                      ", head FROM log ORDER BY number")));
  Digest head;
  for (std::uint64_t number = 1;; ++number) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) break;
    const wire::LogEntry entry = EntryAt(row);
    if (entry.number != number) return Broken(number, "it is missing");
    head = wire::ExtendedBy(head, entry);
    if (head.Hex() != row.Text(6)) return Broken(number, "its hash does not fit");
  }
  ASSIGN_OR_RETURN(
      auto other, impl_->db.Prepare("SELECT s.number, s.site FROM log_signatures s LEFT JOIN log l "
                                    "ON l.number = s.number WHERE l.head IS NOT s.head "
                                    "ORDER BY s.number LIMIT 1"));
  ASSIGN_OR_RETURN(const bool found, other.Step());
  if (!found) return absl::OkStatus();
  return Broken(static_cast<std::uint64_t>(other.Int(0)),
                StrCat(other.Text(1), " has signed another head after it"));
}

}  // namespace consilium::coordinator
