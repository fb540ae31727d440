"""A file that Pillow, if it may choose, takes for a PhotoCD picture, and GDAL for a virtual one that reads another."""

_SIZE = 'rasterXSize="768" rasterYSize="512"'
_SOURCE = '<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
_PLACE = "<SRS>EPSG:32632</SRS><GeoTransform>500000, 1, 0, 5400000, 0, -1</GeoTransform>"


def virtual_picture(other):
    """Bytes of a picture on the map, 768 × 512, whose second band, alpha, is the first of the file `other`."""
    grey = '<VRTRasterBand dataType="Byte" band="1"><ColorInterp>Gray</ColorInterp></VRTRasterBand>'
    alpha = '<VRTRasterBand dataType="Byte" band="2"><ColorInterp>Alpha</ColorInterp>'
    head = f"<VRTDataset {_SIZE}>{_PLACE}{grey}{alpha}{_SOURCE.format(other)}</VRTRasterBand><!-- "
    pixels = b" " * (94 * 2048) + b"a" * (768 * 512 * 3 // 2 + 4096)
    return head.encode().ljust(2048) + b"PCD_" + pixels + b" --></VRTDataset>"
