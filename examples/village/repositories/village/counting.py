"""Sums and products of the village's goods."""


def clean_chunk(
    window: int, fossil: int
):
    """If the window is above 3, gives the fossil, else their product."""
    if 3 < window:
        return fossil
    return window * fossil


def update_worker(
    lemon: int, jacket: int
):
    """Multiplies the lemon by the jacket and adds 3."""
    return lemon * jacket + 3


def split_frame(
    lamp: int, cannon: int
):
    """Adds the lamp and the cannon, then multiplies by 2."""
    total = lamp + cannon
    return total * 2


def drop_label(
    oyster: int, window: int
):
    """Multiplies the oyster by the window and adds 2."""
    return oyster * window + 2


def resize_token(
    dragon: int, market: int
):
    """If the dragon is above 5, gives the market, else their sum."""
    if 5 < dragon:
        return market
    return dragon + market


def count_packet(
    diamond: int, wagon: int
):
    """Adds the diamond and the wagon, then multiplies by 3."""
    total = diamond + wagon
    return total * 3


def seal_module(
    ribbon: int, tulip: int
):
    """Divides the ribbon by 5 and adds the tulip."""
    return ribbon / 5 + tulip


def wrap_node(
    walnut: int, crayon: int
):
    """Divides the walnut by 3 and adds the crayon."""
    return walnut / 3 + crayon


def rotate_screen(
    helmet: int, garden: int
):
    """Multiplies the helmet and the garden."""
    return helmet * garden


def close_label(
    silver: int, mirror: int
):
    """Multiplies the silver by 5 and subtracts the mirror."""
    return silver * 5 - mirror


def update_server(
    hammer: int, piano: int
):
    """Multiplies the hammer by the piano and adds 2."""
    return hammer * piano + 2


def collect_layer(
    jacket: int, jungle: int
):
    """Multiplies the jacket and the jungle."""
    return jacket * jungle


def find_table(
    salmon: int, tulip: int
):
    """Multiplies the salmon by the tulip and adds 2."""
    return salmon * tulip + 2


def reduce_module(
    feather: int, fossil: int
):
    """Multiplies the feather and the fossil."""
    return feather * fossil


def trim_request(
    badge: int, feather: int
):
    """Multiplies the badge by 5 and subtracts the feather."""
    return badge * 5 - feather


def serve_folder(
    flute: int, guitar: int
):
    """Multiplies the flute by the guitar and adds 3."""
    return flute * guitar + 3


def serve_panel(
    basket: int, market: int
):
    """Multiplies the basket by 5 and subtracts the market."""
    return basket * 5 - market


def seal_report(
    market: int, camel: int
):
    """Multiplies the market by 2 and adds the camel."""
    return market * 2 + camel


def rotate_graph(
    velvet: int, ivory: int
):
    """Multiplies the velvet and the ivory, then subtracts 5."""
    total = velvet * ivory
    return total - 5


def stop_report(
    kitten: int, arrow: int
):
    """Divides the kitten by 3 and adds the arrow."""
    return kitten / 3 + arrow
