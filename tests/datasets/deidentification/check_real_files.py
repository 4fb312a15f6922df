#!/usr/bin/python3
"""De-identifies CONSILIUM_SHARED_DATA/dicom with consilium-dataset and reads the result with others' readers:
pydicom and dcmdump must read every instance written, and of the original's names, numbers, dates and UIDs none
may stand in its bytes. Exit codes: 0 as it should be, 1 not, 77 skipped."""

import hashlib
import hmac
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
try:
    import pydicom
except ImportError:
    print("skipped: python3-pydicom is not installed")
    sys.exit(77)

STANDARD_ROOT = "1.2.840.10008."
PROGRAM = os.environ.get("CONSILIUM_DATASET") or os.path.join(os.environ.get("CONSILIUM_BIN", ""), "consilium-dataset")
OPTIONS = ["--clean-descriptors", "--clean-structured-content", "--retain-modified-dates",
           "--retain-patient-characteristics", "--retain-safe-private", "--burned-in", "accept", "--faces", "accept"]


def mapped_uid(key, uid):
    number = bytearray(hmac.new(key, b"uid|" + uid.encode(), hashlib.sha256).digest()[:16])
    number[6] = 0x80 | (number[6] & 0x0F)
    number[8] = 0x80 | (number[8] & 0x3F)
    return "2.25." + str(int.from_bytes(number, "big"))


def identifiers(data_set):
    """What must be gone, as bytes."""
    found = set()
    for element in data_set.iterall():
        if element.VR not in ("PN", "UI", "DA", "LO", "SH") or element.tag.is_private or not element.value:
            continue
        values = element.value if element.VM > 1 else [element.value]
        for value in (str(value).strip() for value in values):
            if element.VR == "PN":
                found.update(part for part in re.split(r"[\^= ]", value) if len(part) >= 4)
            elif element.VR == "UI" and not value.startswith(STANDARD_ROOT) and len(value) > 12:
                if "ClassUID" not in element.keyword and "Implementation" not in element.keyword:
                    found.add(value)
            elif element.VR == "DA" and len(value) == 8:
                found.add(value)
            elif element.keyword in ("PatientID", "OtherPatientIDs", "AccessionNumber") and len(value) >= 6:
                found.add(value)
    # Names of phantoms and of what others have cleaned: words that our own output has, too.
    return {text.encode("utf-8", "replace") for text in found} - {b"Patient", b"Removed"}


def without_pixels(bytes_of_file):
    """Digits of a date may stand in pixels by chance."""
    at = bytes_of_file.rfind(b"\xe0\x7f\x10\x00")
    return bytes_of_file if at < 0 else bytes_of_file[:at]


def main():
    shared = pathlib.Path(os.environ.get("CONSILIUM_SHARED_DATA", "")) / "dicom"
    if not shared.is_dir():
        print("skipped: CONSILIUM_SHARED_DATA does not hold the folder \"dicom\"")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        command = [PROGRAM, "deidentify", str(shared), str(out), "--key", folder + "/key", "--json"] + OPTIONS
        summary = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        again = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        key = bytes.fromhex(pathlib.Path(folder, "key").read_text().split("\n")[1])
        written = {path.name: path for path in out.rglob("*.dcm")}
        faults = []
        if summary["written"] != len(written) or summary["written"] < 100:
            faults.append("%d written, %d found" % (summary["written"], len(written)))
        if again["written"] != 0:
            faults.append("a second run wrote %d again" % again["written"])
        checked = 0
        for path in sorted(shared.rglob("*")):
            if not path.is_file():
                continue
            try:
                original = pydicom.dcmread(path, force=True)
                target = written.get(mapped_uid(key, str(original.SOPInstanceUID).strip("\0 ")) + ".dcm")
                wanted = identifiers(original)
            except Exception:  # damaged in a way that pydicom does not read
                continue
            if target is None:
                continue
            checked += 1
            left = without_pixels(target.read_bytes())
            for identifier in wanted:
                if re.search(rb"(?<![0-9A-Za-z.])" + re.escape(identifier) + rb"(?![0-9A-Za-z.])", left):
                    faults.append("%s: an identifier of %d bytes is left: %r" % (path.name, len(identifier), identifier))
        for name, path in written.items():
            try:
                clean = pydicom.dcmread(path)
                if clean.PatientIdentityRemoved != "YES" or clean.PatientID[:2] != "P-":
                    faults.append(name + " does not say that it was de-identified")
                for _ in clean.iterall():
                    pass
            except Exception as error:
                faults.append("%s: pydicom: %s" % (name, error))
        dump = subprocess.run(["dcmdump", "-q"] + [str(path) for path in written.values()],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if dump.returncode != 0:
            faults.append("dcmdump: " + dump.stderr.decode()[:500])
        for fault in faults[:40]:
            print(fault)
        print("%d written, %d compared with their originals, %d faults" % (len(written), checked, len(faults)))
        return 1 if faults or checked < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
