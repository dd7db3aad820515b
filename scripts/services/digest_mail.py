"""A digest as a mail: plain text, HTML without anything remote, CSV attached.

Invariant: every text goes through escaped() into HTML and through one_line() into plain text, so
that nothing in the data is markup, a header or a line of its own.
"""

import html
from datetime import datetime
from decimal import Decimal
from email.message import EmailMessage

from services.digest_page import Block, Card, Page
from services.mail import new_message, one_line

WIDTH, HEIGHT, EDGE = 240, 40, 4
COLOURS = {"better": "#1a7f37", "worse": "#b42318", "": "#57606a"}
FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


def message_of(
    page: Page, sender: str, recipient: str, number: str, created_at: datetime
) -> EmailMessage:
    """Return the mail to one recipient."""
    message = new_message(sender, recipient, page.subject, number, created_at)
    message.set_content(plain(page), cte="quoted-printable")
    message.add_alternative(in_html(page), subtype="html", cte="quoted-printable")
    for name, content in page.files:
        # As bytes: CSV ends its lines with CR LF, whatever the mail does.
        message.add_attachment(
            content.encode(), maintype="text", subtype="csv", filename=name, cte="base64"
        )
        attached = list(message.iter_attachments())[-1]
        attached.set_param("charset", "utf-8")
    return message


# -- plain text --------------------------------------------------------------------------------


def plain(page: Page) -> str:
    """Return all of it without markup."""
    lines = [page.title, "=" * len(page.title), ""]
    for block in page.blocks:
        lines += [block.title, "-" * len(block.title), ""]
        for card in block.cards:
            why = f" ({card.why})" if card.why else ""
            lines.append(f"{card.label}: {card.value}{why}")
            lines += [f"  {change.words}" for change in card.changes]
            if card.line_words:
                lines.append(f"  {card.line_name}: {card.line_words}")
            lines.append("")
    for one in page.lists:
        lines += [one.title, *(f"  {line}" for line in one.lines), ""]
    return "\n".join(one_line(line) for line in [*lines, *page.footer]) + "\n"


# -- HTML --------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Return a text for an element or for a quoted attribute of HTML."""
    return html.escape(one_line(text), quote=True)


def in_html(page: Page) -> str:
    """Return all of it as a document that loads nothing."""
    lists = "".join(
        f'<h2 style="font-size:16px;margin:24px 0 4px">{escaped(one.title)}</h2>'
        f'<ul style="margin:0;padding-left:20px">'
        + "".join(f"<li>{escaped(line)}</li>" for line in one.lines)
        + "</ul>"
        for one in page.lists
    )
    footer = "".join(f'<p style="margin:4px 0">{escaped(line)}</p>' for line in page.footer)
    return (
        f'<!DOCTYPE html>\n<html lang="{escaped(page.language)}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{escaped(page.subject)}</title></head>\n"
        f'<body style="margin:0;padding:16px;background:#ffffff;color:#1f2328;{FONT}">'
        f'<div style="max-width:640px;margin:0 auto">\n'
        f'<h1 style="font-size:20px;margin:0 0 8px">{escaped(page.title)}</h1>\n'
        f"{''.join(map(_block, page.blocks))}{lists}\n"
        f'<div style="margin-top:24px;font-size:12px;color:#57606a">{footer}</div>\n'
        "</div></body></html>\n"
    )


def _block(block: Block) -> str:
    return (
        f'<h2 style="font-size:16px;margin:24px 0 4px">{escaped(block.title)}</h2>\n'
        '<table role="presentation" style="width:100%;border-collapse:collapse">'
        f"{''.join(map(_card, block.cards))}</table>\n"
    )


def _card(card: Card) -> str:
    why = f' <span style="font-size:12px">({escaped(card.why)})</span>' if card.why else ""
    changes = "".join(
        f'<div style="font-size:13px;color:{COLOURS[change.verdict]}">{escaped(change.words)}</div>'
        for change in card.changes
    )
    # Many programs drop SVG, so the numbers of the line are in words, too.
    words = (
        f'<div style="font-size:11px;color:#57606a">{escaped(card.line_name)}: '
        f"{escaped(card.line_words)}</div>"
        if card.line_words
        else ""
    )
    return (
        '<tr><td style="padding:8px 0;border-top:1px solid #d0d7de;vertical-align:top">'
        f'<div style="font-size:13px">{escaped(card.label)}</div>'
        f'<div style="font-size:22px;font-weight:600">{escaped(card.value)}{why}</div>'
        f"{changes}{svg(card)}{words}</td></tr>\n"
    )


def svg(card: Card) -> str:
    """Return the line as a small picture; a gap where there is no figure, a running end dashed."""
    known = [value for value in card.line if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    step = Decimal(WIDTH - 2 * EDGE) / (len(card.line) - 1)

    def point(index: int, value: Decimal) -> str:
        share = (Decimal(value) - low) / (high - low) if high != low else Decimal("0.5")
        return f"{EDGE + index * step:.1f},{HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE):.1f}"

    points = [None if value is None else point(i, value) for i, value in enumerate(card.line)]
    pieces = []
    for index in range(1, len(points)):
        one, other = points[index - 1], points[index]
        if one and other:
            dashed = card.is_incomplete and index == len(points) - 1
            dash = ' stroke-dasharray="3 3"' if dashed else ""
            pieces.append(f'<polyline points="{one} {other}"{dash}/>')
    end = ""
    if points[-1]:
        x, y = points[-1].split(",")
        end = f'<circle cx="{x}" cy="{y}" r="3" fill="#0969da" stroke="none"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escaped(f"{card.label}, {card.line_name}")}" fill="none" stroke="#0969da" '
        f'stroke-width="2" style="display:block">{"".join(pieces)}{end}</svg>'
    )
