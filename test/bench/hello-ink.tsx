/** The least that Ink can do: what the dashboard's start is held against. */
import { render, Text } from "ink";

render(<Text>hello</Text>, { alternateScreen: true, incrementalRendering: true, interactive: true });
process.stdin.resume();
