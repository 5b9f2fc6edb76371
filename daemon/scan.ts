/** The entry of the process that scans a capture for secrets. */
import { serveScan } from "../engine/captures/scan-process.ts";

serveScan();
