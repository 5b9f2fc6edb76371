/** Bounds of the files that a recipe places: apart from their shape, so that commands do without its parser. */

export const MAX_TEMPLATE_FILES = 1000;
export const MAX_TEMPLATE_FILES_BYTES = 8 << 20;
