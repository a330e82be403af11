"""Made-up talk on everyday things: what people ask, what an agent answers, what tools give back.

Everything follows from a seed. Sentences are put together from words and figures, so that no two messages are
alike and an archive of them is not smaller than one of real talk would be. What must not live here: files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, TypeAlias


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split("|"))


_TOPICS = (
    (  # kitchen
        _items("""
            sourdough starter|lentil soup|cast-iron pan|plum jam|oven thermometer|pasta dough|
            risotto|spice rack|pressure cooker|birthday cake|freezer drawer|shopping list|
            chili paste|bread knife|leftover rice
        """),
        _items("""
            knead|simmer|rinse|defrost|season|reheat|strain|chop|label|weigh
        """),
    ),
    (  # garden
        _items("""
            tomato bed|rain barrel|hedge trimmer|compost heap|cherry tree|lawn seed|greenhouse door|
            herb spiral|irrigation timer|slug fence|rose cutting|wheelbarrow|potato sack|
            bird feeder|raspberry cane
        """),
        _items("""
            prune back|water|replant|mulch|thin out|shade|harvest|dig over|cover|feed
        """),
    ),
    (  # travel
        _items("""
            night train|ferry crossing|hostel room|passport photo|luggage strap|connecting flight|
            city pass|mountain hut|car rental|bike trailer|harbour walk|museum slot|airport bus|
            travel adapter|trail map
        """),
        _items("""
            book|postpone|confirm|cancel|look up|compare|pack|extend|reroute|print
        """),
    ),
    (  # household
        _items("""
            heating bill|washing machine|smoke detector|water meter|kitchen tap|broadband contract|
            door lock|window seal|vacuum filter|tax folder|insurance letter|moving box|light switch|
            radiator valve|rent receipt
        """),
        _items("""
            repair|replace|scan|dispute|bleed|file|descale|measure|order|renew
        """),
    ),
    (  # health
        _items("""
            dentist appointment|running shoe|reading glasses|vaccination card|sleep diary|
            physio exercise|hay fever spray|step counter|yoga mat|blood test|knee brace|
            vitamin shelf|swim lesson|first-aid kit|prescription
        """),
        _items("""
            schedule|repeat|track|stretch|pick up|adjust|skip|note down|check|ask about
        """),
    ),
    (  # family
        _items("""
            school trip|piano lesson|birthday list|grandmother's visit|football boots|
            parents' evening|bedtime story|science project|babysitter|holiday camp|summer concert|
            swim badge|lost jacket|lunch box|chess club
        """),
        _items("""
            plan|sign|organise|pay for|remember|swap|rehearse|find|wrap|drive to
        """),
    ),
    (  # money
        _items("""
            standing order|savings goal|grocery budget|bank statement|donation receipt|
            electricity tariff|currency table|loan offer|travel refund|pension letter|split bill|
            subscription|price alert|invoice|deposit
        """),
        _items("""
            transfer|reconcile|cap|review|claim|pay off|forecast|categorise|export|double-check
        """),
    ),
    (  # workshop
        _items("""
            bike chain|shelf bracket|soldering iron|drill bit|wood glue|sewing pattern|
            camera battery|guitar string|paint roller|tyre pressure|model railway|3D print|
            oak board|clock spring|desk lamp
        """),
        _items("""
            sand|tighten|lubricate|rewire|align|varnish|clamp|calibrate|patch|sketch
        """),
    ),
)
"""Things and what is done with them, topic by topic."""
_WHO = _items("""
    Amira|Bruno|Chiara|Dmitri|Elif|Farid|Greta|Hugo|Ines|Jonas|Keiko|Luca|Mina|Noor|Oskar|Paula|
    Quentin|Rosa|Sami|Tilda|Umar|Vera|Wanda|Xavier|Yara|Zoe|the neighbour|my sister|the landlord|
    our tutor|the plumber|my flatmate|the vet|the librarian|a colleague|the baker
""")
_WHERE = _items("""
    in the cellar|by the harbour|at the corner shop|on the balcony|near the old mill|in Lisbon|
    in Gdansk|behind the shed|at the clinic|in the attic|on platform 4|at the market hall|
    in the top drawer|under the stairs|in Trieste|by the school gate|at the depot|
    in the shared folder|on the north side|next to the fuse box
""")
_WHEN = _items("""
    before breakfast|on Tuesday|next weekend|by the end of the month|after the storm|during lunch|
    at dusk|twice a week|since March|until the 14th|right after work|on the first dry day|
    in about an hour|yesterday|every other Friday|once the parcel arrives|over the holidays|
    a week from now|this evening|in early spring
""")
_HOW = _items("""
    quickly|without fuss|with a little patience|step by step|as cheaply as possible|
    more carefully than last time|in two goes|by hand|with the spare part|from memory|
    the way the manual says|without waking anybody|properly this time|with half the effort|for good
""")
_QUALITY = _items("""
    old|new|spare|blue|borrowed|half-empty|heavy|second-hand|tiny|noisy|reliable|crooked|fragrant|
    overdue|cheap|stubborn|rusty|bright|folded|leaky|sturdy|unlabelled|warm|missing|favourite|
    narrow|frozen|polished
""")
_BECAUSE = _items("""
    because {who} asked for it|so that nothing gets lost|although the forecast says rain|
    which saves about {n} euros|since it took {n} minutes last time|unless {who} objects|
    even if it means a detour|as {who} suggested|otherwise we start again from step {d}|
    and that leaves {n} for later|in case {who} comes early|while the {thing} is still {quality}
""")
_ASK = _items("""
    Could you {do} the {quality} {thing} {when}?|What is the best way to {do} a {thing} {how}?|
    Remind me {when} to {do} the {thing} {where}.|
    {who} says the {thing} is {quality}; should I {do} it {when}?|
    How many times must I {do} the {thing}, {because}?|
    Find out whether the {thing} {where} costs more than {n} euros.|
    Please note that {who} will {do} the {thing} {when}.|
    Is a {quality} {thing} worth {n} euros, {because}?|
    Compare the {thing} with the {thing2} and tell me which one {who} should {do}.
""")
_TELL = _items("""
    You can {do} the {thing} {how}, {because}.|
    The {quality} {thing} {where} needs about {n} minutes.|{who} left {d} of them {where} {when}.|
    I would {do} it {when} and {do2} the {thing2} afterwards.|
    That makes {n} in all, {d} more than {when}.|
    First {do} the {thing}; then {do2} the {thing2} {how}.|
    I found {d} offers between {n} and {n2} euros, the {quality} one {where}.|
    A {quality} {thing} is fine, {because}.|Note: {who} wants to {do} the {thing2} {where} {when}.|
    It has been {n} days since anyone had to {do} the {thing}.|Keep the {thing} {where}, {because}.
""")


Entry: TypeAlias = dict[str, str | float]
"""One thing that a search found."""


class Pen:
    """Writes; the same seed writes the same."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it makes up texts, not secrets

    def question(self) -> str:
        """What somebody asks."""
        return self._fill(_ASK, *self._topic())

    def title(self) -> str:
        """What a list of sessions shows."""
        things, verbs = self._topic()
        pick = self.random.choice
        return (
            f"{pick(verbs).capitalize()} the {pick(_QUALITY)} {pick(things)} {self.random.randrange(10**4)}"
        )

    def text(self, sentences: int) -> str:
        """That many sentences on one thing."""
        topic = self._topic()
        return " ".join(self._fill(_TELL, *topic) for _ in range(sentences))

    def page(self, paragraphs: int) -> str:
        """Paragraphs below headings, as in a system prompt."""
        pick = self.random.choice
        return "\n\n".join(
            f"## {pick(pick(_TOPICS)[0]).capitalize()}\n{self.text(self.random.randint(3, 6))}"
            for _ in range(paragraphs)
        )

    def entries(self, count: int) -> list[Entry]:
        """What a search finds."""
        things, _ = self._topic()
        pick, number = self.random.choice, self.random.randrange
        return [
            {
                "ref": f"{number(2**40):010x}",
                "item": f"{pick(_QUALITY)} {pick(things)}",
                "contact": pick(_WHO),
                "price": number(100, 99999) / 100,
                "at": f"2026-{number(1, 13):02}-{number(1, 29):02}T{number(24):02}:{number(60):02}:00Z",
                "note": self._fill(_TELL, things, ["see"]),
            }
            for _ in range(count)
        ]

    def report(self, entries: Sequence[Entry], sentences: int) -> str:
        """An answer that repeats what was found, as answers do."""
        quoted = (
            f"- {entry['item']} ({entry['contact']}, {entry['price']}): {entry['note']}" for entry in entries
        )
        return "\n".join([*quoted, self.text(sentences)])

    def call(self, tools: Sequence[str], query: str) -> dict[str, Any]:
        """A tool call as an assistant makes it."""
        arguments = {"query": query, "limit": self.random.randint(1, 40)}
        name = self.random.choice(tools)
        identity = f"call_{self.random.getrandbits(96):024x}"
        return {
            "id": identity,
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }

    def _topic(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.random.choice(_TOPICS)

    def _fill(self, patterns: Sequence[str], things: Sequence[str], verbs: Sequence[str]) -> str:
        pick, number = self.random.choice, self.random.randrange
        thing, who = pick(things), pick(_WHO)
        because = pick(_BECAUSE).format(
            who=who, n=number(2, 400), d=number(2, 9), thing=thing, quality=pick(_QUALITY)
        )
        filled = pick(patterns).format(
            thing=thing,
            thing2=pick(things),
            do=pick(verbs),
            do2=pick(verbs),
            who=pick(_WHO),
            where=pick(_WHERE),
            when=pick(_WHEN),
            how=pick(_HOW),
            quality=pick(_QUALITY),
            because=because,
            n=number(2, 400),
            n2=number(400, 2000),
            d=number(2, 60),
        )
        return filled[0].upper() + filled[1:]
