import { type ReactNode, useEffect, useRef } from "react";
import { useValue } from "../state/value.ts";
import { overlay } from "./keys.ts";

/** A dialog that is open while `overlay` names it. */
export function Overlay({
  name,
  label,
  children,
}: {
  name: "palette" | "help";
  label: string;
  children: () => ReactNode;
}) {
  const isOpen = useValue(overlay) === name;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
  }, [isOpen]);
  if (!isOpen) return null;
  const close = (): void => overlay.set(() => undefined);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it too
    <dialog
      ref={dialog}
      className={name}
      aria-label={label}
      onClose={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      {children()}
    </dialog>
  );
}
