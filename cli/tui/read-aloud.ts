/** Whether what is drawn is read aloud (Ink's own variable): then nothing moves by itself, or it would be read again and again. */
export const isReadAloud = process.env.INK_SCREEN_READER === "true";
