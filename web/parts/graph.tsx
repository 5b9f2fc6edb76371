/** A small line of samples, the newest at the right. The number beside it says the same in words. */

const WIDTH = 64;
const HEIGHT = 18;

/** The line's points, in a picture of these sides. Fewer samples than `room` begin further to the right. */
export function graphPoints(values: readonly number[], most: number, room: number): string {
  const step = WIDTH / Math.max(1, room - 1);
  const first = WIDTH - (values.length - 1) * step;
  return values
    .map((value, index) => {
      const share = Math.max(0, Math.min(1, most > 0 ? value / most : 0));
      return `${(first + index * step).toFixed(1)},${(HEIGHT - 1 - share * (HEIGHT - 2)).toFixed(1)}`;
    })
    .join(" ");
}

export function Graph({
  values,
  most,
  room = 16,
}: {
  values: readonly number[];
  most: number;
  room?: number;
}) {
  return (
    <svg className="graph" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {values.length > 1 && <polyline points={graphPoints(values, most, room)} />}
    </svg>
  );
}

/** How much of something is in use. */
export function Meter({
  label,
  value,
  most,
  text,
}: {
  label: string;
  value: number;
  most: number;
  text: string;
}) {
  return (
    <div className="meter">
      <span>{label}</span>
      <progress value={Math.max(0, Math.min(most, value))} max={most > 0 ? most : 1} aria-label={label} />
      <span>{text}</span>
    </div>
  );
}
