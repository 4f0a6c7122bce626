"""Forms that pictures with boxes come in: YOLO, Pascal VOC, COCO."""
