import * as api from "../../api/size.ts";
import { checked } from "./checked.ts";

/** Parses a size: `512M`, `512MiB`, `2G`, `2GiB`; units are powers of 1024. @returns MiB, a whole number of 64 and more. */
export const parseMemory = checked(api.parseMemory);
